"""A Kubernetes cluster as a store; `cluster_writes` has the requests of a write."""

from __future__ import annotations

import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from rollway.routers import stores
from rollway.routers.backends import install_hint
from rollway.routers.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    NotServedError,
    RollwayError,
    UncertainError,
)
from rollway.routers.findings import Finding, FindingCode, Severity
from rollway.routers.kube import port_forward
from rollway.routers.kube.access import is_allowed, user_name
from rollway.routers.kube.client import Client, Target
from rollway.routers.kube.connection import TIMEOUT_S, Connection
from rollway.routers.kube.discovery import Discovery
from rollway.routers.kube.kubeconfig import Identity
from rollway.routers.model import ROLLOUT_GROUP
from rollway.routers.objects import Live, LiveObject, Need, ObjectRef, dig
from rollway.routers.stores.cluster_writes import FIELD_MANAGER, RESTORER, ClusterWrite, live_object
from rollway.routers.traffic import Evidence

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection, Iterable, Sequence
    from contextlib import AbstractContextManager

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Manifest
    from rollway.routers.plan import Change

FINDINGS = (
    FindingCode(
        "namespace-only",
        "The role may not list a kind in the whole cluster, so only some namespaces were looked at.",
        "An object elsewhere that stands in the way is not found.",
        "Give the role the right to list the kind in the whole cluster, or know that nothing else is in the way.",
    ),
)

_EVENT_ATTEMPTS = 3
_PARALLEL = 8
CRD = ("apiextensions.k8s.io", "CustomResourceDefinition")
"""A kind that is never read: discovery shows which versions it serves, and a Role in a namespace could not allow it."""


class ClusterStore:
    """Read and write the objects of a cluster; safe to use from many threads.

    `cache` keeps on disk which kinds the cluster serves.

    Everything is as new as the read, except what `Need.runtime` names, EndpointSlices and Pods: they come from the API
    server's watch cache, usually milliseconds old, because a list that must be newer waits up to 0.1 s for it. That is
    no less safe: an endpoint is always older than what it reports, as its pod was ready when it was last probed, and can
    be gone a moment after any read. (Events are never in that cache, so they are always as new as the read.)
    """

    evidence = Evidence.WRITTEN

    def __init__(self, connection: Connection, *, cache: bool = True) -> None:
        self.connection = connection
        self.namespace = connection.namespace
        self.client = Client(connection, Discovery(connection, _cache_folder() if cache else "", _install))
        self._threads = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="rollway-read")
        self._narrowed: set[tuple[str, str]] = set()

    @classmethod
    def open(
        cls,
        kubeconfig: str | None = None,
        context: str | None = None,
        *,
        user: str = "",
        groups: Sequence[str] = (),
        timeout: float = TIMEOUT_S,
        cache: bool = True,
    ) -> ClusterStore:
        """Return the store of a kubeconfig's context (default: the current one, or the pod's own cluster).

        `user` and `groups` are impersonated. `timeout` is that of one request, in seconds.

        Raises:
            CredentialsError: there are no credentials, or they cannot be read.
        """
        return cls(Connection(kubeconfig, context, Identity(user, tuple(groups)), timeout), cache=cache)

    def close(self) -> None:
        """Close the connections and end the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.connection.close()

    def read(self, needs: Sequence[Need]) -> Live:
        """Return the needed objects, read in parallel; see `rollway.routers.stores.Store.read`.

        Raises:
            NotServedError: a required kind is not served.
            ForbiddenError: the role lacks a verb.
        """
        wanted = [need for need in needs if (need.group, need.kind) != CRD]
        notes: list[Finding] = []
        required = {(need.group, need.kind) for need in wanted if need.required}
        targets = self._targets([need for need in wanted if self._is_served(need, required)])

        def fetch(target: Target) -> list[LiveObject]:
            try:
                return self._fetch(target, wanted, notes)
            except NotServedError:
                if target[:2] in required:
                    raise
                return []  # what is kept about the cluster was out of date

        objects = {item.ref: item for part in self._each(fetch, targets) for item in part}
        absent = stores.missing(wanted, objects)
        if absent:
            hint = "\n  ".join(filter(None, map(self._present, absent)))
            raise NotFoundError(f"{stores.names(absent)} not found in {self.connection.host}", hint=hint)
        return Live(
            objects.values(), self.client.discovery.served(), notes=dict.fromkeys(notes), running=True
        )

    def lock(self, rollout: Rollout) -> AbstractContextManager[bool]:  # noqa: ARG002 - there is nothing to hold
        """Keep nobody waiting: versions and tests find out what others write; see `Store.lock`."""
        return contextlib.nullcontext(False)

    def check(self, change: Change) -> None:
        """Find nothing; see `Store.check`."""

    def write(self, change: Change, *, dry_run: bool = False) -> LiveObject | None:
        """Make one change; see `rollway.routers.stores.Store.write`.

        Raises:
            ConflictError: the object is no longer what the change was computed from.
            ForeignOwnerError: another field manager applied a field that is ours; names both.
            AdmissionError: the API server or a webhook refuses the object, in its words.
            StoreError: the cluster cannot be written.
        """
        try:
            return ClusterWrite(self.client, change, dry_run).send()
        except NotFoundError as error:
            if isinstance(error, NotServedError):
                raise
            raise ConflictError(f"{change.ref} is gone") from error

    def record(self, event: Manifest) -> None:
        """Write an Event, whose name must be its own; see `rollway.routers.stores.EventStore`."""
        for attempt in range(_EVENT_ATTEMPTS):
            try:
                self.client.create(event)
            except UncertainError:
                if attempt == _EVENT_ATTEMPTS - 1:
                    raise
                time.sleep(0.1 * 2**attempt)
            except ConflictError:
                return  # it is there: the attempt before was stored, and its answer got lost
            else:
                return

    def recorded(self, namespace: str, selector: str) -> Sequence[Manifest]:
        """Return the Events that the API server still has; see `rollway.routers.stores.EventStore`."""
        need = Need("", "Event", namespace=namespace, required=False, selector=selector, runtime=True)
        return [item.manifest for item in self.read([need]).of("", "Event")]

    def allows(
        self, verb: str, resource: str, group: str = "", *, namespace: str = "", name: str = ""
    ) -> bool:
        """Ask the API server; see `rollway.routers.stores.ClusterAccess`."""
        return is_allowed(self.connection, verb, resource, group, namespace=namespace, name=name)

    def user_name(self) -> str:
        """Return the name by which the API server knows the caller; empty where it does not say.

        Raises:
            StoreError: the API server cannot be asked.
        """
        return user_name(self.connection)

    def field_managers(self, ref: ObjectRef) -> list[str]:
        """Return who has written fields of an object; see `rollway.routers.stores.ClusterAccess`."""
        target = Target(ref.group, ref.kind, ref.namespace, ref.name)
        try:
            manifest = self.client.get(target)
        except ForbiddenError:
            # The least Role lists a kind that it also needs by name.
            listed, _ = self.client.list(target._replace(name="", metadata_only=True))
            manifest = next((item for item in listed if item["metadata"]["name"] == ref.name), None)
        entries = dig(manifest, "metadata", "managedFields") or ()
        managers = dict.fromkeys(str(entry.get("manager")) for entry in entries)
        return [name for name in managers if name not in (FIELD_MANAGER, RESTORER)]

    def may_forward(self, namespace: str) -> bool:
        """Return whether the role allows port-forward to the pods of a namespace; see `port_forward`."""
        return port_forward.may_forward(self.connection, namespace)

    def forward(self, namespace: str, pod: str, port: int, timeout: float) -> socket.socket:
        """Open a connection to a port of a pod; see `port_forward`."""
        return port_forward.forward(self.connection, namespace, pod, port, timeout)

    # -- reading

    def is_served(self, group: str, kind: str, *, required: bool) -> bool:
        """Return whether a kind is served.

        Raises:
            NotServedError: it is required, and is not.
        """
        try:
            self.client.discovery.resource(group, kind)
        except NotServedError:
            if required:
                raise
            return False
        return True

    def _is_served(self, need: Need, required: Collection[tuple[str, str]]) -> bool:
        key = (need.group, need.kind)
        return self.is_served(*key, required=key in required)

    def _targets(self, needs: Sequence[Need]) -> list[Target]:
        """Return the requests for some needs; one that a list answers is not asked for by name as well."""
        lists = {
            (need.group, need.kind, need.namespace) for need in needs if not need.name and not need.selector
        }
        targets: dict[Target, None] = {}
        for need in needs:
            key = (need.group, need.kind)
            listed = (*key, "") in lists or (*key, need.namespace) in lists
            if not need.name:
                if not (need.selector and listed):
                    selected = Target(*key, need.namespace, selector=need.selector)
                    targets[selected._replace(metadata_only=need.metadata_only)] = None
            elif listed:
                continue
            elif need.namespace or not self.client.discovery.resource(*key).namespaced:
                targets[Target(*key, need.namespace, need.name)] = None
            else:
                targets[Target(*key)] = None
        return list(targets)

    def _each(
        self, fetch: Callable[[Target], list[LiveObject]], targets: Sequence[Target]
    ) -> Iterable[list[LiveObject]]:
        if len(targets) == 1:
            return [fetch(targets[0])]
        return list(self._threads.map(fetch, targets))

    def _fetch(self, target: Target, needs: Sequence[Need], notes: list[Finding]) -> list[LiveObject]:
        if target.name:
            manifest = self.client.get(target)
            return [live_object(manifest)] if manifest else []
        key = (target.group, target.kind)
        from_cache = any(need.runtime and (need.group, need.kind) == key for need in needs)
        spaces = sorted(
            {need.namespace for need in needs if need.name and (need.group, need.kind) == key} - {""}
        )
        if target.namespace or key not in self._narrowed:
            try:
                return self._list(target, from_cache=from_cache)
            except ForbiddenError:
                if target.namespace or not spaces:
                    raise
                # A role in a namespace is common; what it cannot see is reported each time, and asked for once.
                self._narrowed.add(key)
        plural = self.client.discovery.resource(*key).plural
        notes.append(
            namespace_only(f"the role may not list {plural} in the whole cluster", ", ".join(spaces))
        )
        return [
            item
            for space in spaces
            for item in self._list(target._replace(namespace=space), from_cache=from_cache)
        ]

    def _present(self, need: Need) -> str:
        """Write which objects there are in place of a missing one, if the role may know."""
        target = Target(need.group, need.kind, need.namespace, metadata_only=True)
        try:
            listed, _ = self.client.list(target, from_cache=True)
        except RollwayError:
            return ""
        return stores.known_names(need, [item["metadata"]["name"] for item in listed])

    def _list(self, target: Target, *, from_cache: bool) -> list[LiveObject]:
        manifests, _ = self.client.list(target, from_cache=from_cache)
        return [live_object(manifest) for manifest in manifests]


def _install(group: str) -> str:
    """Return what brings the kinds of an API group."""
    if group == ROLLOUT_GROUP:
        return "install the CRDs (rollway install --print --only crds), or give the Rollout with -f FILE"
    return install_hint(group)


def _cache_folder() -> str:
    """Return the folder for what is kept about clusters: beside kubectl's, which KUBECACHEDIR moves."""
    return os.path.join(os.environ.get("KUBECACHEDIR") or os.path.expanduser("~/.kube/cache"), "rollway")


def namespace_only(why: str, namespaces: str) -> Finding:
    """Return the note about a kind that was not looked at in the whole cluster."""
    message = f"{why}, so only those of namespace {namespaces} were checked"
    return Finding("namespace-only", Severity.NOTE, None, message)
