"""Kubernetes objects as values: what names one, what a store holds of it, and what a backend needs.

They are named tuples, which cost a sixth of what a frozen dataclass does to define: the command line defines all of them
at every start.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rollway.routers.snapshot import Snapshot

if TYPE_CHECKING:
    from rollway.routers.errors import RollwayError
    from rollway.routers.findings import Finding

Manifest: TypeAlias = dict[str, Any]
"""One Kubernetes object as plain data: dicts, lists, strings, integers, booleans and None."""


ITEM = "name="
"""What begins the step of a field pattern that stands for a list item by its name."""


def item_field(items: str, name: str) -> str:
    """Return the field pattern of the items of that name in a list, for `Need.fields`: `/spec/http/name=beta`."""
    return f"{items}/{ITEM}{name.replace('~', '~0').replace('/', '~1')}"


class Access(enum.Enum):
    """What a backend does with an object that it needs."""

    READ = "read"
    """Input only, for example the stable Ingress."""
    SHARED = "shared"
    """The user's object: named fields are changed, it is never created or deleted."""
    MANAGED = "managed"
    """Ours: created, stamped, updated and deleted."""


class ObjectRef(NamedTuple):
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


class LiveObject(NamedTuple):
    """One object as a store holds it; `version` changes whenever the object does, and is empty until it is created.

    `locate` returns where the value at a pointer stands (`k8s/web.yaml:12`), or returns an empty string.
    """

    ref: ObjectRef
    manifest: Manifest
    version: str
    locate: Callable[[Pointer], str] = _nowhere
    problem: RollwayError | None = None
    """Why the object cannot be worked with, for a need that is tolerant of it: for example, it stands in two files."""
    is_copy: bool = False
    """Whether it is a further place of an object that stands in several; its name then has the place."""
    original: Manifest | None = None
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
            known = self._kinds.get(kind)
            self._kinds[kind] = (
                Snapshot(written.get(kind, {}))
                if known is None
                else known.after(written.get(kind, {}), gone.get(kind, ()))
            )

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


class Need(NamedTuple):
    """Name the objects that a backend wants: one (`name` given) or all of a kind (`name` empty).

    `fields` (SHARED) and `own_keys` (MANAGED) are JSON pointers (RFC 6901) in which `*` stands for any one segment:
    the only fields that may change, and keys that are ours by nature, whoever wrote them. `relies` are the fields
    whose live value a change takes for granted; they become `test` operations of its JSON Patch.

    In `fields`, `name=NAME` stands for the items of a list that have this name (see `item_field`): they may come and go.
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
