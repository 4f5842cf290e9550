"""The words of rollway as immutable values: routes, traffic, objects, findings, evidence.

Weights are integers out of a total; a share is weight/total. There are no floats.

Values with invariants or with parts left out of comparison are frozen dataclasses; the plain ones are named tuples,
which cost a sixth to define, and the command line defines all of them at every start.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, TypeVar

from rollway.routers.errors import (
    InvalidInputError,
    RefusedError,
    RollwayError,
    UnsupportedError,
    WeightError,
)
from rollway.routers.snapshot import Snapshot
from rollway.routers.weights import Split, parse_weight

_Stanza = TypeVar("_Stanza")

Manifest: TypeAlias = dict[str, Any]
"""One Kubernetes object as plain data: dicts, lists, strings, integers, booleans and None."""

STABLE = "stable"
CANARY = "canary"


class Access(enum.Enum):
    """What a backend does with an object that it needs."""

    READ = "read"
    """Input only, for example the stable Ingress."""
    SHARED = "shared"
    """The user's object: named fields are changed, it is never created or deleted."""
    MANAGED = "managed"
    """Ours: created, stamped, updated and deleted."""


class Evidence(enum.IntEnum):
    """How much is known about a weight, from nothing to counted requests."""

    UNKNOWN = 0
    WRITTEN = 1
    ACCEPTED = 2
    LOADED = 3
    MEASURED = 4


class Severity(enum.Enum):
    """Whether a finding stops the plan or is only reported."""

    REFUSAL = "refusal"
    NOTE = "note"


class Strategy(enum.Enum):
    """The release strategy of a Rollout."""

    CANARY = "canary"
    BLUE_GREEN = "blueGreen"


@dataclass(frozen=True)
class ObjectRef:
    """Name one Kubernetes object, whatever API version it is written in."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


Pointer: TypeAlias = tuple[str | int, ...]
"""The way to a value inside a manifest: keys and list indexes."""


def _nowhere(_path: Pointer) -> str:
    return ""


@dataclass(frozen=True)
class LiveObject:
    """One object as a store holds it; `version` changes whenever the object does, and is empty until it is created.

    `locate` returns where the value at a pointer stands (`k8s/web.yaml:12`), or returns an empty string.
    """

    ref: ObjectRef
    manifest: Manifest
    version: str
    locate: Callable[[Pointer], str] = field(default=_nowhere, compare=False, repr=False)
    problem: RollwayError | None = field(default=None, compare=False, repr=False)
    """Why the object cannot be worked with, for a need that is tolerant of it: for example, it stands in two files."""
    is_copy: bool = False
    """Whether it is a further place of an object that stands in several; its name then has the place."""
    original: Manifest | None = field(default=None, compare=False, repr=False)
    """SHARED: the object as it was before any change, where the store remembers that; see `Change.original`."""


Kind: TypeAlias = tuple[str, str]
"""An API group and a kind in it."""
KindSnapshot: TypeAlias = Snapshot[ObjectRef, LiveObject]


class Live(Mapping[ObjectRef, LiveObject]):
    """The objects that a store returned for some needs, plus what it knows about the API.

    `served` maps an API group to its served versions, most preferred first; a group that is missing is unknown.
    `notes` list what the store could not see. `running` is true when a cluster answered, so that an EndpointSlice or a
    Pod that is missing does not exist; manifests in files show nothing about either.
    """

    def __init__(
        self,
        objects: Iterable[LiveObject],
        served: Mapping[str, Sequence[str]] | None = None,
        *,
        notes: Iterable[Finding] = (),
        running: bool = False,
        kinds: Mapping[Kind, KindSnapshot] | None = None,
    ) -> None:
        self.served = dict(served or {})
        self.notes = tuple(notes)
        self.running = running
        self.memo: dict[Any, Any] = {}
        """What pure functions found out about these objects, so that one plan finds it out once."""
        self._kinds: dict[Kind, KindSnapshot] = dict(kinds or {})
        """All objects by kind. A store that keeps them hands out the same snapshot while nothing of the kind changes."""
        self._add(objects)

    def _add(self, objects: Iterable[LiveObject], deleted: Iterable[ObjectRef] = ()) -> None:
        written: dict[Kind, dict[ObjectRef, LiveObject]] = {}
        gone: dict[Kind, list[ObjectRef]] = {}
        for item in objects:
            written.setdefault((item.ref.group, item.ref.kind), {})[item.ref] = item
        for ref in deleted:
            gone.setdefault((ref.group, ref.kind), []).append(ref)
        for kind in {**written, **gone}:
            known = self._kinds.get(kind) or Snapshot({})
            self._kinds[kind] = known.after(written.get(kind, {}), gone.get(kind, ()))

    def __getitem__(self, ref: ObjectRef) -> LiveObject:
        return self._kinds[ref.group, ref.kind][ref]

    def __iter__(self) -> Iterator[ObjectRef]:
        return (ref for objects in self._kinds.values() for ref in objects)

    def __len__(self) -> int:
        return sum(map(len, self._kinds.values()))

    def manifest(self, ref: ObjectRef) -> Manifest | None:
        """Return the object's manifest, or None when it does not exist."""
        item = self.get(ref)
        return item.manifest if item else None

    def of(self, group: str, kind: str) -> Collection[LiveObject]:
        """Return every object of a kind, in all namespaces."""
        return self.all_of(group, kind).values()

    def all_of(self, group: str, kind: str) -> KindSnapshot:
        """Return every object of a kind as a snapshot, which keeps what is found out from all of them."""
        return self._kinds.get((group, kind)) or Snapshot({})

    def after(self, written: Iterable[LiveObject], deleted: Iterable[ObjectRef] = ()) -> Live:
        """Return the same with some objects written anew and some deleted, without touching the others."""
        written, deleted = tuple(written), tuple(deleted)
        if not written and not deleted:
            return self
        changed = Live((), self.served, notes=self.notes, running=self.running, kinds=self._kinds)
        changed._add(written, deleted)
        return changed


@dataclass(frozen=True)
class Need:
    """Name the objects that a backend wants: one (`name` given) or all of a kind (`name` empty).

    `fields` (SHARED) and `own_keys` (MANAGED) are JSON pointers (RFC 6901) in which `*` stands for any one segment:
    the only fields that may change, and keys that are ours by nature, whoever wrote them. `relies` are the fields
    whose live value a change takes for granted; they become `test` operations of its JSON Patch.
    """

    group: str
    kind: str
    name: str = ""
    namespace: str = ""
    access: Access = Access.READ
    required: bool = True
    fields: tuple[str, ...] = ()
    own_keys: tuple[str, ...] = ()
    relies: tuple[str, ...] = ()
    keeps_stable: bool = False
    """MANAGED: whether stable gets all traffic only by this object, so that it stays when everything else is reset."""
    derived_from: ObjectRef | None = None
    """MANAGED: the object that it is made from; a store of files puts a new object beside it."""
    tolerant: bool = False
    """Whether an object that cannot be worked with comes with its `problem`, where its name alone would raise that."""
    selector: str = ""
    """Without a name: a label selector in the words of Kubernetes (`key in (a,b)`); a store may return more."""
    runtime: bool = False
    """Whether only a running cluster has such objects (EndpointSlice, Pod), so that files are not searched for them."""
    metadata_only: bool = False
    """Whether `metadata` is enough; a store may return more."""
    fresh: bool = False
    """Whether the object must be as it is at this moment; a memory that may be a little behind will not do."""

    @property
    def ref(self) -> ObjectRef:
        """The object that is needed; only for a need with a name."""
        return ObjectRef(self.group, self.kind, self.namespace, self.name)

    def matches(self, ref: ObjectRef) -> bool:
        """Return whether the object is one that this need asks for; an empty name or namespace means any."""
        return (
            ref.kind == self.kind
            and ref.group == self.group
            and self.name in ("", ref.name)
            and self.namespace in ("", ref.namespace)
        )


class HeaderRoute(NamedTuple):
    """Requests whose header matches go to the canary. `match` holds one of exact, prefix, regex by header name."""

    name: str
    match: tuple[tuple[str, str, str], ...]


class MirrorRoute(NamedTuple):
    """Copy `percentage` percent of the matching requests to the canary."""

    name: str
    percentage: int = 100


@dataclass(frozen=True)
class Traffic:
    """The whole wish: the split, the header routes and the mirror routes of one rollout."""

    split: Split
    header_routes: tuple[HeaderRoute, ...] = ()
    mirror_routes: tuple[MirrorRoute, ...] = ()


class Capabilities(NamedTuple):
    """What a backend can do; planning refuses a wish whose flag is off, before it renders anything."""

    objects: str
    """The routing objects, for people: `Ingress`, `VirtualService`."""
    versions: tuple[str, ...]
    """The API versions that the backend reads and writes, as in `apiVersion`."""
    access: Access
    smallest_total: int = 1
    """Totals below this are ignored by the data plane."""
    header_routes: bool = False
    mirror_routes: bool = False

    def missing(self, want: Traffic) -> str:
        """Name the first feature of the wish that the backend lacks, or return an empty string."""
        if want.header_routes and not self.header_routes:
            return "header routes"
        if want.mirror_routes and not self.mirror_routes:
            return "mirror routes"
        if want.split.total < self.smallest_total:
            return f"a total below {self.smallest_total}"
        return ""


@dataclass(frozen=True)
class Finding:
    """One thing that the data plane would ignore, reject or break, or that a reader should know.

    `code` names the case (`nginx-second-canary`); `--allow CODE` lifts a refusal with that code.
    """

    code: str
    severity: Severity
    ref: ObjectRef | None
    message: str
    remedy: str = ""
    transient: bool = False
    """Whether waiting can end it, as for a pod that is not ready yet."""
    place: str = ""
    """Where it stands in the manifests (`k8s/web.yaml:12`), where that is known and not the place of the object."""

    def __str__(self) -> str:
        subject = f"{self.ref}: " if self.ref else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{subject}{self.message}{remedy} [{self.code}]"


class FindingCode(NamedTuple):
    """What a finding's code stands for; each code is described once, beside the check that finds it.

    `otherwise` is what happens without the refusal, or in spite of a note.
    """

    code: str
    meaning: str
    otherwise: str
    remedy: str


class Reading(NamedTuple):
    """What one routing object (or one route of it) shows: the weight of every destination, and the traffic it means.

    `traffic` is None when the object does not exist or has no weight of this Rollout. `exact` is False when the
    weights stand for a share that the rollout's total cannot express; `traffic` then holds the nearest one.
    Where the object is absent, and stable does not get everything because of that, `outcome` and `reason` describe what is
    known instead: UNKNOWN, or DIFFERS when the canary certainly gets some.
    """

    ref: ObjectRef
    part: str = ""
    weights: tuple[tuple[str, str], ...] = ()
    traffic: Traffic | None = None
    exact: bool = True
    outcome: Outcome | None = None
    reason: str = ""


class Outcome(enum.Enum):
    """Whether the world is as asked, is not, or is not known."""

    MATCHES = "matches"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


class ObjectVerdict(NamedTuple):
    """Whether the data planes have loaded what one routing object shows, and the reason."""

    ref: ObjectRef
    outcome: Outcome
    reason: str


class RequestSample(NamedTuple):
    """Counted requests: how many stable, canary and others answered, and how many of whose requests failed.

    Failed ones are not among those answered; `failed` counts those of which nobody knows who got them.
    """

    stable: int = 0
    canary: int = 0
    other: int = 0
    stable_failed: int = 0
    canary_failed: int = 0
    failed: int = 0


class Verdict(NamedTuple):
    """The answer of `verify`: the outcome, the evidence that it rests on, what was observed, and why.

    `readings` hold what each object shows, `objects` whether that is loaded (empty: no data plane was asked), `samples`
    every sample of requests that was taken meanwhile. `final` means that asking again cannot improve it.
    """

    outcome: Outcome
    evidence: Evidence
    readings: tuple[Reading, ...] = ()
    reason: str = ""
    objects: tuple[ObjectVerdict, ...] = ()
    samples: tuple[RequestSample, ...] = ()
    final: bool = False


class PingPong(NamedTuple):
    """The two Services of a Rollout whose roles are swapped at each promotion.

    `stable` is `ping`, `pong`, or empty where the Rollout's status does not name it.
    """

    ping: str
    pong: str
    stable: str = ""


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
    status: RolloutStatus = field(default=RolloutStatus(), compare=False, repr=False)
    steps: tuple[Manifest, ...] = field(default=(), compare=False, repr=False)

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
    def ref(self) -> ObjectRef:
        """The Rollout object itself."""
        return ObjectRef("argoproj.io", "Rollout", self.namespace, self.name)

    def stanza(self, kind: type[_Stanza]) -> _Stanza:
        """Return the stanza of a type; a backend asks for its own.

        Raises:
            LookupError: the Rollout has no such stanza, so that backend is not one of its own.
        """
        for stanza in self.stanzas.values():
            if isinstance(stanza, kind):
                return stanza
        raise LookupError(f"Rollout {self.name} has no {kind.__name__}")

    @property
    def roles_known(self) -> bool:
        """Whether it is known which Service is stable: always, but for ping-pong without a status."""
        return self.ping_pong is None or bool(self.ping_pong.stable)

    def with_stable(self, name: str) -> Rollout:
        """Return the same with `ping` or `pong` as its stable Service.

        Raises:
            InvalidInputError: there is no ping-pong, or the name is neither of the two.
            RefusedError: the status names the other one as stable.
        """
        if self.ping_pong is None or name not in ("ping", "pong"):
            raise InvalidInputError(
                f"{self.ref} has no {name!r} Service that could be stable",
                hint="ping and pong are for a Rollout with pingPong and without stableService and canaryService",
            )
        ping, pong, stable = self.ping_pong
        if stable not in ("", name):
            raise RefusedError(f"the status of {self.ref} names {stable} as stable, not {name}")
        pair = (ping, pong) if name == "ping" else (pong, ping)
        return replace(
            self, stable_service=pair[0], canary_service=pair[1], ping_pong=PingPong(ping, pong, name)
        )

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


def dig(value: Any, *path: str | int) -> Any:
    """Return the value at a path of keys and indexes, or None where the manifest has no such field."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def duplicate(value: Any) -> Any:
    """Copy a manifest in depth. Unlike `copy.deepcopy`, two places that share a YAML anchor become two values."""
    if isinstance(value, dict):
        return {key: duplicate(item) for key, item in value.items()}
    if isinstance(value, list):
        return [duplicate(item) for item in value]
    return value


_SERVER_FIELDS = ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink")


def without_server_fields(manifest: Manifest) -> Manifest:
    """Return a manifest as somebody would apply it: without `status` and the metadata that only an API server writes."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _SERVER_FIELDS}
    return {**{key: value for key, value in manifest.items() if key != "status"}, "metadata": metadata}
