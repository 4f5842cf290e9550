"""Find pods of data planes in a cluster, and reach them through its API server."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias, runtime_checkable

from rollway.routers.errors import RollwayError
from rollway.routers.objects import Need, dig
from rollway.routers.probes.http import Address, NoAnswerError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest, ObjectRef
    from rollway.routers.probes.http import Find


@runtime_checkable
class PodAccess(Protocol):
    """Read objects, and reach the ports of pods; the store of a cluster does both."""

    def read(self, needs: Sequence[Need]) -> Live:
        """Return the objects that the needs ask for; see `rollway.routers.stores.Store`."""
        ...

    def may_forward(self, namespace: str) -> bool:
        """Return whether the role allows port-forward to the pods of a namespace."""
        ...

    def forward(self, namespace: str, pod: str, port: int, timeout: float) -> socket.socket:
        """Open a connection to a port of a pod, for which `timeout` seconds are allowed."""
        ...


def pod_access(store: object) -> PodAccess | None:
    """Return the store as one that reaches pods, or None where it does not."""
    return store if isinstance(store, PodAccess) else None


class PodPort(NamedTuple):
    """One pod, and the port on its loopback that is asked."""

    ref: ObjectRef
    number: int


def flags_of(pod: Manifest) -> dict[str, str]:
    """Return the flags that the containers of a pod are started with: `--name=value`."""
    words = [
        word
        for container in dig(pod, "spec", "containers") or ()
        for key in ("command", "args")
        for word in dig(container, key) or ()
        if isinstance(word, str) and word.startswith("--")
    ]
    return {name: value for name, _, value in (word.removeprefix("--").partition("=") for word in words)}


FindPods: TypeAlias = "Callable[[Pods, Rollout, Live], Iterable[PodPort]]"
"""Finds the pods that serve a Rollout, all of which have to do as asked; raises what reading the cluster raises."""


class Pods(NamedTuple):
    """The pods in some namespaces of a cluster (none: in all of them)."""

    access: PodAccess
    namespaces: tuple[str, ...] = ()

    def running(self, selector: str, namespaces: Sequence[str] = ()) -> list[tuple[ObjectRef, Manifest]]:
        """Return the running pods with all labels of a selector (`a=b,c=d`), in these namespaces rather than in its own."""
        spaces = namespaces or self.namespaces or ("",)
        needs = [
            Need("", "Pod", namespace=space, required=False, selector=selector, runtime=True)
            for space in spaces
        ]
        labels = dict(label.split("=", 1) for label in selector.split(","))
        return [
            (pod.ref, pod.manifest)
            for pod in self.access.read(needs).of("", "Pod")
            if dig(pod.manifest, "status", "phase") == "Running"
            and not pod.manifest["metadata"].get("deletionTimestamp")
            and labels.items() <= (pod.manifest["metadata"].get("labels") or {}).items()
        ]

    def addresses(self, backend: str, find: FindPods, *, optional: bool = False) -> Find:
        """Return what finds the addresses of pods each time, since they come and go."""
        return lambda rollout, live: [
            self._address(port) for port in self._ports(backend, find, rollout, live, optional=optional)
        ]

    def obstacle(
        self, backend: str, find: FindPods, rollout: Rollout, live: Live, *, optional: bool = False
    ) -> str:
        """Return why the pods that serve a Rollout cannot be asked; empty when they can, or are `optional` and not there."""
        try:
            ports = self._ports(backend, find, rollout, live, optional=optional)
            spaces = sorted({port.ref.namespace for port in ports})
            with _refusals_as_no_answer():
                closed = [space for space in spaces if not self.access.may_forward(space)]
        except NoAnswerError as error:
            return str(error)
        return f"the role may not port-forward to pods in namespace {', '.join(closed)}" if closed else ""

    def _ports(
        self, backend: str, find: FindPods, rollout: Rollout, live: Live, *, optional: bool
    ) -> list[PodPort]:
        with _refusals_as_no_answer():
            ports = list(dict.fromkeys(find(self, rollout, live)))
        if not ports and not optional:
            where = f"namespace {', '.join(self.namespaces)}" if self.namespaces else "the cluster"
            raise NoAnswerError(f"no running pod of the {backend} data plane was found in {where}")
        return ports

    def _address(self, port: PodPort) -> Address:
        space, name = port.ref.namespace, port.ref.name
        dial = functools.partial(self.access.forward, space, name, port.number)
        return Address(f"pod {space}/{name}", f"http://127.0.0.1:{port.number}", dial)


@contextlib.contextmanager
def _refusals_as_no_answer() -> Iterator[None]:
    """Report what the API server refuses in the words of a probe."""
    try:
        yield
    except RollwayError as error:
        raise NoAnswerError(error.message) from error
