"""The manifests under a path, read as far as a question needs it.

Only files that can hold a needed object are parsed: an object's kind and name stand in its text, or the text has
escapes. What cannot be read is kept with its place, so that nothing is overlooked in silence.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from rollway.routers import stores
from rollway.routers.errors import NotFoundError
from rollway.routers.findings import Finding, FindingCode, Severity
from rollway.routers.stores import files, originals
from rollway.routers.stores.json_memory import without_memories
from rollway.routers.stores.manifests import (
    NO_LONGER_SERVED,
    PlacedManifest,
    Unreadable,
    line_of,
    objects,
    ref_of,
    sections,
    unreadable,
)
from rollway.routers.stores.overlays import Overlays, View

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rollway.routers.objects import Manifest, Need, ObjectRef, Pointer
    from rollway.routers.stores.originals import Memory

FINDINGS = (
    FindingCode(
        "unreadable-file",
        "A file, or a document in one, cannot be read as manifests: for example, it is no YAML, or a template.",
        "What it holds is not looked at. It is a refusal where it may hold an object that the answer rests on.",
        "Repair the file, or keep it out of the directory that `--dir` names.",
    ),
    FindingCode(
        "api-not-served",
        "An object is written in an API version that Kubernetes does not serve any more.",
        "The object is not looked at, and no cluster of today takes it.",
        "Move the object to the version that the message names.",
    ),
)

_ESCAPES = (b"\\x", b"\\u", b"\\U", b"\\\n", b"\\\r", b"\x00")
"""What lets a YAML text spell a name so that a search does not find it; a zero byte is UTF-16."""

_NAMED = 8
"""How many files or objects a hint lists."""

_MANY_NEEDS = 24
"""So many needs that parsing a file is cheaper than searching it for each of them."""


class Place(NamedTuple):
    """Where an object stands: a file, the place in its text, and what kustomizations make of it."""

    path: str
    placed: PlacedManifest
    view: View = View()
    others: bool = False
    """Whether kustomizations make further objects of it."""


class ParsedFile(NamedTuple):
    """What a file holds, as far as it can be read."""

    raw: bytes
    objects: tuple[PlacedManifest, ...] = ()
    text: str = ""
    """The text, where it remembers in comments what an object was at first."""
    memories: Mapping[str, Memory] = MappingProxyType({})
    """What the annotations of a JSON text remember, by the object's subject."""
    unreadable: tuple[Unreadable, ...] = ()


class Search(NamedTuple):
    """The answer to some needs: every place of each object that one asks for, and what could not be read on the way."""

    places: dict[ObjectRef, list[Place]]
    findings: list[Finding]


class ManifestFiles:
    """The manifests under a path. `namespace` is that of objects which name none.

    The kustomizations that count are those under `root`, which is the path unless given.
    """

    def __init__(self, path: str, namespace: str, root: str = "") -> None:
        self.path = path
        self.namespace = namespace
        self._root = root
        self._contents = files.Contents()
        self._parsed: dict[str, ParsedFile] = {}
        self._overlays: Overlays | None = None

    def paths(self) -> list[str]:
        """Return the path of every manifest, sorted."""
        return files.walk(self.path)

    def raw(self, path: str) -> bytes | None:
        """Return the bytes of a manifest, or None when it cannot be read."""
        return self._contents.read(path)

    def parse(self, path: str, raw: bytes) -> ParsedFile:
        """Return what the bytes of a file hold; those that it had the last time are not parsed again."""
        known = self._parsed.get(path)
        if known and known.raw == raw:
            return known
        try:
            text, is_json = files.decode(raw)[1], path.endswith(".json")
            memories: Mapping[str, Memory] = {}
            if is_json:
                text, memories = without_memories(text)
            divided = sections(text, is_json=is_json)
            remembering = text if originals.MARK in text else ""
            parsed = ParsedFile(
                raw, tuple(objects(divided)), remembering, memories, tuple(unreadable(divided))
            )
        except UnicodeError as error:
            text = raw.decode("utf-16" if raw[:2] in files.UTF16_MARKS else "utf-8", "replace")
            parsed = ParsedFile(raw, unreadable=(Unreadable(1, str(error), text=text),))
        self._parsed[path] = parsed
        return parsed

    def overlays(self, below: Sequence[str] | None = None) -> Overlays:
        """Return the kustomizations as they are now; `below` are the paths of the manifests, where they are known."""
        paths = files.walk(self._root) if self._root else self.paths() if below is None else below
        if self._overlays is None or not self._overlays.is_current(paths):
            self._overlays = Overlays(paths, self.raw)
        return self._overlays

    @property
    def has_kustomizations(self) -> bool:
        """Whether there was a kustomization when the files were read last."""
        return bool(self._overlays and self._overlays.paths)

    def ref(self, place: Place) -> ObjectRef:
        """Name an object of these files; one of an old API group has the name that it has in the new one."""
        ref, version = ref_of(place.placed.manifest, self.namespace), moved_to(place.placed)
        group = version.partition("/")[0] if version else ref.group
        return ref._replace(group=group, namespace=place.view.namespace or ref.namespace)

    def locate(self, place: Place, pointer: Pointer = ()) -> str:
        """Return where a value of an object stands: `k8s/web.yaml:12`."""
        raw = self.raw(place.path)
        if raw is None:
            return place.path
        section = sections(files.decode(raw)[1], is_json=place.path.endswith(".json"))[place.placed.section]
        return f"{place.path}:{line_of(section, place.placed.document, (*place.placed.path, *pointer))}"

    def original(self, place: Place) -> Manifest | None:
        """Return an object as it was at first, where its file remembers that."""
        known = self._parsed.get(place.path)
        if known is None or not (known.text or known.memories):
            return None
        subject = originals.subject_of(place.placed.manifest)
        memory = known.memories.get(subject) or originals.recall(known.text, subject)
        return memory.applied(place.placed.manifest) if memory.values else None

    def find(self, needs: Sequence[Need]) -> Search:
        """Return every place of the objects that needs ask for."""
        asked = {(need.group, need.kind, need.namespace, need.name) for need in needs}
        tokens = {(need.kind.encode(), need.name.encode()) for need in needs}
        paths = self.paths()
        search, overlays = Search({}, []), self.overlays(paths)
        for path in paths:
            raw = self.raw(path)
            if raw is None:
                search.findings.append(_not_opened(path, needs))
            if raw is None or not _may_hold(raw, tokens):
                continue
            parsed = self.parse(path, raw)
            search.findings.extend(_not_read(path, part, needs) for part in parsed.unreadable)
            for place in places_of(path, parsed, overlays):
                ref = self.ref(place)
                if asked.isdisjoint(ways_to_ask(ref)):
                    continue
                if moved_to(place.placed):
                    search.findings.append(self._not_served(ref, place))
                else:
                    search.places.setdefault(ref, []).append(place)
        return search

    def faults(self) -> Iterator[Finding]:
        """Yield a finding for every part of every file that cannot be read as objects."""
        for path in self.paths():
            raw = self.raw(path)
            if raw is None:
                yield _not_opened(path, ())
            else:
                yield from (_not_read(path, part, ()) for part in self.parse(path, raw).unreadable)

    def not_found(self, absent: Sequence[Need]) -> NotFoundError:
        """Report what is missing, what is there instead, and which files were not read as objects."""
        alike: list[str] = []
        empty: list[str] = []
        known: dict[str, list[str]] = {need.kind: [] for need in absent}
        paths = self.paths()
        overlays = self.overlays(paths)
        for path in paths:
            raw = self.raw(path)
            parsed = self.parse(path, raw or b"")
            if raw is not None and not parsed.objects and not parsed.unreadable:
                empty.append(path)
            for place in places_of(path, parsed, overlays):
                ref, placed = self.ref(place), place.placed
                known.get(ref.kind, []).append(ref.name)
                if any((ref.kind, ref.name) == (need.kind, need.name) for need in absent):
                    move = f" (move it to {moved_to(placed)})" if moved_to(placed) else ""
                    version = placed.manifest["apiVersion"]
                    alike.append(f"{self.locate(place)} has {version} {ref}{move}")
        hints = [
            *alike,
            *(["a manifest without a namespace counts as the one given with -n"] if alike else []),
            *(stores.known_names(need, known[need.kind]) for need in absent if not alike),
            *stores.shortened([fault.message for fault in self.faults()], _NAMED),
            *([f"no Kubernetes object in {', '.join(stores.shortened(empty, _NAMED))}"] if empty else []),
        ]
        return NotFoundError(f"{stores.names(absent)} not found in {self.path}", hint="\n  ".join(hints))

    def _not_served(self, ref: ObjectRef, place: Place) -> Finding:
        version = place.placed.manifest["apiVersion"]
        where = self.locate(place)
        return Finding(
            "api-not-served",
            Severity.NOTE,
            ref,
            f"is written as {version} in {where}, which Kubernetes does not serve any more, so it was not looked at",
            f"move it to {moved_to(place.placed)}",
            place=where,
        )


def places_of(path: str, parsed: ParsedFile, overlays: Overlays) -> Iterator[Place]:
    """Yield the objects of a file, each as often as kustomizations make another object of it; those of a patch are none."""
    if not parsed.objects or overlays.is_patch(path):
        return
    views = overlays.views(path)
    for placed in parsed.objects:
        yield from (Place(path, placed, view, len(views) > 1) for view in views)


def _not_opened(path: str, needs: Sequence[Need]) -> Finding:
    """Report a file that cannot be opened: it may hold any object, unless it is a link that leads nowhere."""
    matters = any(not need.name for need in needs) and files.exists(path)
    return _unreadable(path, path, "the file cannot be opened", matters=matters)


def _not_read(path: str, part: Unreadable, needs: Sequence[Need]) -> Finding:
    """Report a part of a file; it is a refusal where what a need asks for may be in it."""
    kinds = sorted({need.kind for need in needs if part.may_be(need.kind, need.name)})
    mention = f"; it may hold {' or '.join(kinds)}" if kinds else ""
    return _unreadable(path, f"{path}:{part.line}", part.reason + mention, matters=bool(kinds))


def _unreadable(path: str, place: str, reason: str, *, matters: bool) -> Finding:
    return Finding(
        "unreadable-file",
        Severity.REFUSAL if matters else Severity.NOTE,
        None,
        f"{place} cannot be read: {reason}",
        f"repair {path}, or keep it out of what --dir names",
        place=place,
    )


def ways_to_ask(ref: ObjectRef) -> list[tuple[str, str, str, str]]:
    """Return what a need may have named when it asks for an object; an empty namespace or name stands for any."""
    return [
        (ref.group, ref.kind, namespace, name) for namespace in ("", ref.namespace) for name in ("", ref.name)
    ]


def moved_to(placed: PlacedManifest) -> str:
    """Return the API version that replaces one which is no longer served; empty for an object of any other."""
    return NO_LONGER_SERVED.get((placed.manifest["kind"], placed.manifest["apiVersion"]), "")


def _may_hold(raw: bytes, tokens: set[tuple[bytes, bytes]]) -> bool:
    """Return whether a text can hold one of the objects, given as (kind, name), without parsing it."""
    if len(tokens) > _MANY_NEEDS or any(kind in raw and name in raw for kind, name in tokens):
        return True
    if raw[:2] in files.UTF16_MARKS or (b"\\" in raw and any(escape in raw for escape in _ESCAPES)):
        return True
    # A template may write the kind or the name in its own way.
    return b"{{" in raw and any(not name and kind.lower() in raw.lower() for kind, name in tokens)
