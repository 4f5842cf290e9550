"""A Rollout as the backends see it, and what a decision about it rests on."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from rollway.routers.errors import InvalidInputError, RefusedError, UnsupportedError, WeightError
from rollway.routers.objects import ObjectRef
from rollway.routers.weights import Split, parse_weight

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rollway.routers.held_weight import HeldWeight
    from rollway.routers.objects import Live, Manifest
    from rollway.routers.traffic import SubsetHashes, Traffic

_Stanza = TypeVar("_Stanza")


ROLLOUT_GROUP, ROLLOUT_KIND = "argoproj.io", "Rollout"
INSTANCE_LABEL = "argo-rollouts.argoproj.io/controller-instance-id"
"""The label of a Rollout that names the controller that runs it."""
INSTANCE_ID = "rollway"
"""Its value for rollway's controller, unless that was given another one. Argo's own controller leaves such Rollouts alone."""
HASH_LABEL = "rollouts-pod-template-hash"
"""The label by which the pods of a ReplicaSet are known (Argo Rollouts, `pkg/apis/rollouts/v1alpha1/types.go`)."""
MANAGED_BY = "argo-rollouts.argoproj.io/managed-by-rollouts"
"""The annotation in which a controller names the Rollout whose hashes a Service or a DestinationRule has."""
STABLE = "stable"
CANARY = "canary"


class Strategy(enum.Enum):
    """The release strategy of a Rollout."""

    CANARY = "canary"
    BLUE_GREEN = "blueGreen"


class PingPong(NamedTuple):
    """The two Services of a Rollout whose roles are swapped at each promotion.

    `stable` is `ping`, `pong`, or empty where the Rollout's status does not name it.
    """

    ping: str
    pong: str
    stable: str = ""


class ReleaseHashes(NamedTuple):
    """The pod-template hashes that are named as stable and canary, where there are no Services of their own for the roles.

    The first two are the caller's; the others are what a controller reports as its stable and its newest ReplicaSet.
    Each is empty where nobody names it; then the live objects decide.
    """

    stable: str = ""
    canary: str = ""
    reported_stable: str = ""
    reported_newest: str = ""


class RolloutStatus(NamedTuple):
    """What a controller reports of a Rollout; all of it is absent where none runs."""

    phase: str = ""
    """`Progressing`, `Paused`, `Healthy` or `Degraded`."""
    current_step: int | None = None
    """The index of the step that the controller is at, from 0."""
    pause_reasons: tuple[str, ...] = ()
    aborted: bool = False


@dataclass(frozen=True)
class Rollout:
    """A Rollout as the backends see it: who is stable, who is canary, and the stanza of each backend.

    Without a router (`hashes` is given) both roles are pod-template hashes of one Service, `stable_service`, and
    `canary_service` is a Service for previews, if there is one.
    `total` is the sum that weights refer to (`maxTrafficWeight`, else 100). `uid` is empty for a Rollout that is
    only a manifest. `stanzas` holds, by the backend's name and in the order in which they are applied, what each backend
    read of its own stanza. `status` and `steps` (as written) decide nothing here, and are left out of comparison.
    """

    name: str
    namespace: str
    stable_service: str
    canary_service: str
    strategy: Strategy = Strategy.CANARY
    total: int = 100
    uid: str = ""
    api_version: str = "argoproj.io/v1alpha1"
    managed_routes: tuple[str, ...] = ()
    stanzas: Mapping[str, Any] = field(default_factory=dict, hash=False)
    ping_pong: PingPong | None = None
    hashes: ReleaseHashes | None = None
    subsets: SubsetHashes | None = field(default=None, repr=False)
    """What the subsets of a router are to select: given by the controller that runs the release. None: they stay as they are."""
    status: RolloutStatus = field(default=RolloutStatus(), compare=False, repr=False)
    steps: tuple[Manifest, ...] = field(default=(), compare=False, repr=False)
    instance_id: str = field(default="", compare=False, repr=False)
    """What its label names as its controller."""
    held: HeldWeight | None = field(default=None, compare=False, repr=False)
    """The weight that its annotation asks that controller to hold; None also where the annotation has faults."""
    memo: dict[Any, Any] = field(default_factory=dict, init=False, compare=False, repr=False)
    """What pure functions found out about this very Rollout, so that each finds it out once."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stanzas", MappingProxyType(dict(self.stanzas)))
        if self.stable_service and self.stable_service == self.canary_service:
            raise WeightError(
                f"Service {self.stable_service!r} is both stable and canary of Rollout {self.name!r}"
            )
        if not self.stanzas:
            raise WeightError(f"Rollout {self.name!r} names no backend")

    @property
    def backends(self) -> tuple[str, ...]:
        """The names of the backends that this Rollout uses, in the order in which they are applied."""
        return tuple(self.stanzas)

    @property
    def is_managed(self) -> bool:
        """Whether rollway's controller runs it: it has the label, and a status."""
        return self.instance_id == INSTANCE_ID and bool(self.status.phase)

    @property
    def ref(self) -> ObjectRef:
        """The Rollout object itself."""
        return ObjectRef(ROLLOUT_GROUP, ROLLOUT_KIND, self.namespace, self.name)

    def stanza(self, kind: type[_Stanza]) -> _Stanza:
        """Return the stanza of a type; a backend asks for its own.

        Raises:
            LookupError: the Rollout has no such stanza, so that backend is not one of its own.
        """
        known: _Stanza | None = self.memo.get(kind)
        if known is not None:
            return known
        for stanza in self.stanzas.values():
            if isinstance(stanza, kind):
                self.memo[kind] = stanza
                return stanza
        raise LookupError(f"Rollout {self.name} has no {kind.__name__}")

    @property
    def roles_known(self) -> bool:
        """Whether it is known which Service is stable: always, but for ping-pong without a status."""
        return self.ping_pong is None or bool(self.ping_pong.stable)

    def with_stable(self, name: str) -> Rollout:
        """Return the same with `ping` or `pong` as its stable Service, or with a stable pod-template hash.

        Raises:
            InvalidInputError: there is neither, or the name is none of the two Services.
            RefusedError: the status names the other one as stable.
        """
        if self.hashes is not None:
            return replace(self, hashes=self.hashes._replace(stable=name))
        if self.ping_pong is None or name not in ("ping", "pong"):
            raise InvalidInputError(
                f"{self.ref} has no {name!r} Service that could be stable",
                hint="ping and pong are for a Rollout with pingPong and without stableService and canaryService, and a "
                "pod-template hash for a blue-green Rollout without trafficRouting",
            )
        ping, pong, stable = self.ping_pong
        if stable not in ("", name):
            raise RefusedError(f"the status of {self.ref} names {stable} as stable, not {name}")
        pair = (ping, pong) if name == "ping" else (pong, ping)
        return replace(
            self, stable_service=pair[0], canary_service=pair[1], ping_pong=PingPong(ping, pong, name)
        )

    def with_canary(self, pod_hash: str) -> Rollout:
        """Return the same with a pod-template hash as its canary.

        Raises:
            InvalidInputError: its roles are Services, which the manifest names.
        """
        if self.hashes is None:
            raise InvalidInputError(
                f"{self.ref} names the Service of its canary, so no pod-template hash can be it",
                hint="--canary is for a blue-green Rollout without trafficRouting",
            )
        return replace(self, hashes=self.hashes._replace(canary=pod_hash))

    def split(self, weight: int | str) -> Split:
        """Read a weight and make it a Split of this Rollout's total.

        Raises:
            WeightError: it cannot be read, is out of range, or is neither 0 nor total for a blue-green Rollout.
            UnsupportedError: the share is no whole number of this total (not blue-green).
        """
        if self.strategy is not Strategy.BLUE_GREEN:
            return Split(parse_weight(weight, self.total), self.total)
        hint = f"use `rollway switch {self.name} stable|canary`, or a canary strategy"
        try:
            split = Split(parse_weight(weight, self.total), self.total)
        except (WeightError, UnsupportedError) as error:
            # How a share could be written is of no use here.
            raise WeightError(error.message, hint=hint) from error
        if split.canary not in (0, self.total):
            raise WeightError(
                f"weight {split.canary} is not possible for blue-green Rollout {self.name!r}: only 0 and {self.total} are",
                hint=hint,
            )
        return split


class Context(NamedTuple):
    """What one decision rests on: the Rollout, the traffic that is wanted, and the live objects."""

    rollout: Rollout
    want: Traffic
    live: Live
