"""Objects of one kind in memory, found by name, by label and by owner; what changes is returned as old and new.

No I/O and no lock: the informer holds one around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Item = TypeVar("Item")
"""What is kept of an object: what the projection returns."""


class ObjectChange(NamedTuple, Generic[Item]):
    """What happened to one object: `old` is None when it was added, `new` when it was deleted."""

    namespace: str
    name: str
    old: Item | None
    new: Item | None


class _Entry(NamedTuple, Generic[Item]):
    version: str
    item: Item
    labels: Mapping[str, str]
    owners: tuple[str, ...]
    controlled: bool
    """Whether one of the owners is its controller."""


class Cache(Generic[Item]):
    """The objects of one kind. `project` returns what is kept of each; labels and owners are known whatever it drops."""

    def __init__(self, project: Callable[[dict[str, Any]], Item]) -> None:
        self._project = project
        self._entries: dict[str, dict[str, _Entry[Item]]] = {}
        # Indexes by label key, from the first question about one: (namespace, value) to names.
        self._labels: dict[str, dict[tuple[str, str], dict[str, None]]] = {}
        self._owned: dict[str, dict[tuple[str, str], None]] = {}
        # From the first question about it on, like labels.
        self._orphans: dict[str, dict[str, None]] | None = None
        # The last versions of objects that we deleted ourselves, until the watch or a list has come as far.
        self._deleted: dict[tuple[str, str], str] = {}

    def get(self, namespace: str, name: str) -> Item | None:
        """Return one object; the namespace of cluster-scoped ones is empty."""
        entry = self._entries.get(namespace, {}).get(name)
        return entry.item if entry else None

    def items(self, namespace: str = "") -> list[Item]:
        """Return the objects of a namespace, or of all."""
        return [entry.item for space in self._spaces(namespace) for entry in self._entries[space].values()]

    def additions(self) -> list[ObjectChange[Item]]:
        """Return every object as if it had just been added."""
        return [
            ObjectChange(space, name, None, entry.item)
            for space, entries in self._entries.items()
            for name, entry in entries.items()
        ]

    def labelled(self, key: str, values: Iterable[str], namespace: str = "") -> list[Item]:
        """Return the objects whose label has one of some values."""
        wanted = list(values)
        index = self._labels.get(key)
        if index is None:
            index = self._labels[key] = {}
            for space, entries in self._entries.items():
                for name, entry in entries.items():
                    _add_label(index, key, space, name, entry)
        return [
            self._entries[space][name].item
            for space in self._spaces(namespace)
            for value in wanted
            for name in index.get((space, value), ())
        ]

    def owned(self, uid: str) -> list[Item]:
        """Return the objects that name an owner with this uid in their ownerReferences."""
        return [self._entries[space][name].item for space, name in self._owned.get(uid, ())]

    def orphans(self, namespace: str) -> list[Item]:
        """Return the objects of a namespace without an owner that is their controller."""
        if self._orphans is None:
            self._orphans = {}
            for space, entries in self._entries.items():
                names = dict.fromkeys(name for name, entry in entries.items() if not entry.controlled)
                if names:
                    self._orphans[space] = names
        return [self._entries[namespace][name].item for name in self._orphans.get(namespace, ())]

    def put(self, manifest: dict[str, Any]) -> ObjectChange[Item] | None:
        """Keep an object, unless this version of it or a newer one is known; return the change, if it is one."""
        metadata = manifest["metadata"]
        space, name = metadata.get("namespace", ""), metadata["name"]
        version = metadata.get("resourceVersion", "")
        known = self._entries.get(space, {}).get(name)
        newest = known.version if known else self._deleted.get((space, name), "")
        if newest and (newest == version or is_older(version, newest)):
            return None
        self._deleted.pop((space, name), None)
        if known:
            self._unindex(space, name, known)
        references = metadata.get("ownerReferences") or ()
        owners = tuple(entry["uid"] for entry in references)
        controlled = any(entry.get("controller") for entry in references)
        entry = _Entry(version, self._project(manifest), metadata.get("labels") or {}, owners, controlled)
        self._entries.setdefault(space, {})[name] = entry
        for key, index in self._labels.items():
            _add_label(index, key, space, name, entry)
        for uid in owners:
            self._owned.setdefault(uid, {})[space, name] = None
        if self._orphans is not None and not controlled:
            self._orphans.setdefault(space, {})[name] = None
        return ObjectChange(space, name, known.item if known else None, entry.item)

    def remove(self, namespace: str, name: str, version: str = "") -> ObjectChange[Item] | None:
        """Forget an object, unless it was made again after this version; return the change, if it was known.

        Without a version it is a deletion of our own: what the watch still has to bring of the object counts no more.
        """
        entry = self._entries.get(namespace, {}).get(name)
        if entry and not version:
            self._deleted[namespace, name] = entry.version
        elif version and not is_older(version, self._deleted.get((namespace, name), "")):
            self._deleted.pop((namespace, name), None)
        if entry is None or is_older(version, entry.version):
            return None
        del self._entries[namespace][name]
        self._unindex(namespace, name, entry)
        return ObjectChange(namespace, name, entry.item, None)

    def replace(self, manifests: Iterable[dict[str, Any]], version: str) -> list[ObjectChange[Item]]:
        """Bring everything to a list of this version, and return what that changed; what is newer than it stays."""
        changes: list[ObjectChange[Item] | None] = []
        listed: set[tuple[str, str]] = set()
        for manifest in manifests:
            metadata = manifest["metadata"]
            listed.add((metadata.get("namespace", ""), metadata["name"]))
            changes.append(self.put(manifest))
        gone = [
            (space, name)
            for space, entries in self._entries.items()
            for name, entry in entries.items()
            if (space, name) not in listed and not is_older(version, entry.version)
        ]
        changes += [self.remove(space, name, version) for space, name in gone]
        for key in [key for key in self._deleted if key not in listed]:
            self.remove(*key, version)
        return [change for change in changes if change]

    def _spaces(self, namespace: str) -> Iterable[str]:
        return [namespace] if namespace in self._entries else [] if namespace else list(self._entries)

    def _unindex(self, namespace: str, name: str, entry: _Entry[Item]) -> None:
        for key, index in self._labels.items():
            if key in entry.labels:
                _drop(index, (namespace, entry.labels[key]), name)
        for uid in dict.fromkeys(entry.owners):
            _drop(self._owned, uid, (namespace, name))
        if self._orphans is not None and not entry.controlled:
            _drop(self._orphans, namespace, name)


def _add_label(
    index: dict[tuple[str, str], dict[str, None]], key: str, namespace: str, name: str, entry: _Entry[Any]
) -> None:
    if key in entry.labels:
        index.setdefault((namespace, entry.labels[key]), {})[name] = None


def _drop(index: dict[Any, dict[Any, None]], key: Any, value: Any) -> None:
    """Take a value out of an index, and the key with its last one: values like a pod template's hash never end."""
    del index[key][value]
    if not index[key]:
        del index[key]


def is_older(version: str, than: str) -> bool:
    """Compare resource versions. Source: Kubernetes, "Resource versions": numbers that grow, kind by kind."""
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)
