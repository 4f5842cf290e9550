"""The plan as a value: what changes, from what to what, what the data plane does with it, and its fingerprint.

Everything here is pure. No change at all is `None`, never an empty plan.
"""

from __future__ import annotations

import enum
import functools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from jsonpointer import JsonPointer, unescape

from rollway.routers import ownership
from rollway.routers.differences import MISSING, differences, holds, name_of, without_step
from rollway.routers.errors import RollwayError
from rollway.routers.findings import Severity
from rollway.routers.objects import ITEM, Access, Live, without_server_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rollway.routers.differences import Edit
    from rollway.routers.findings import Finding
    from rollway.routers.model import Rollout
    from rollway.routers.objects import LiveObject, Manifest, Need, ObjectRef, Pointer
    from rollway.routers.traffic import Reading, Traffic

DryRun: TypeAlias = Literal[False, True, "server"]
"""Whether to write (False), to plan only (True), or to let the store check every write and keep none ("server")."""

Operation: TypeAlias = dict[str, Any]
"""One operation of a JSON Patch (RFC 6902)."""

_VERSION: Pointer = ("metadata", "resourceVersion")


TrafficWish: TypeAlias = "Traffic | Callable[[Live], Traffic]"
"""What a caller wants: a whole traffic, or one that is found out from the live objects whenever it is planned."""


class Action(enum.Enum):
    """What a change does to its object."""

    CREATE = "create"
    PATCH = "patch"
    """A SHARED object: a JSON Patch with tests on what it relies on."""
    APPLY = "apply"
    """A MANAGED object: brought to `after`, field by field."""
    DELETE = "delete"


class Change(NamedTuple):
    """One write. `before` is None for a creation, `after` for a deletion.

    `version` is the version that the change was computed from; a MANAGED object that moved since is a conflict. A
    PATCH relies on its `test` operations instead, so that an unrelated edit does not stop it.
    """

    action: Action
    ref: ObjectRef
    before: Manifest | None
    after: Manifest | None
    patch: tuple[Operation, ...] = ()
    version: str = ""
    derived_from: ObjectRef | None = None
    adopt: bool = False
    """Whether fields that somebody else applied are taken over, which the caller asked for by name."""
    subresource: str = ""
    """PATCH: the subresource whose fields change (`status`); where a CRD has none, they are fields of the object itself."""
    lasting: bool = False
    """Whether it is meant to stay. PATCH: a store of files need not remember the text that it replaces. CREATE: the object is
    the user's from then on, and has no record of what is ours."""
    original: Manifest | None = None
    """PATCH: the object as it was at first, where no later change could find that out; a store of files remembers it."""

    def is_in(self, present: LiveObject | None) -> bool:
        """Return from the object as it is now whether this change was stored, be it that only a part of it is left."""
        if self.after is None:
            return present is None
        if present is None or (self.version and present.version == self.version):
            return False
        return self._is_left_in(present.manifest)

    def _is_left_in(self, manifest: Manifest) -> bool:
        now, after = without_server_fields(manifest), without_server_fields(self.after or manifest)
        if self.before is None:
            return holds(now, after)
        return bool(without_step(now, without_server_fields(self.before), after) != now)

    def inverse(self, present: LiveObject | None) -> Change | None:
        """Return the change that takes this one out of the object as it is now; None when nothing of it is left.

        What somebody else has changed since then stays.
        """
        if self.after is None:
            undo = self._replace(action=Action.CREATE, before=None, after=self.before, patch=(), version="")
            return None if present else undo
        if present is None or not self._is_left_in(present.manifest):
            return None
        now = present.manifest
        undo = self._replace(before=now, patch=(), version=present.version)
        if self.before is None:
            return undo._replace(action=Action.DELETE, after=None)
        after = without_step(now, without_server_fields(self.before), without_server_fields(self.after))
        edits = list(differences(now, after))
        tests = self.action is Action.PATCH
        patch = _with_tests(now, edits, ()) if tests else (_operation(*edit) for edit in edits)
        return undo._replace(after=after, patch=tuple(patch))


@dataclass(frozen=True)
class Plan:
    """All writes of one wish, checked together before the first of them happens."""

    rollout: Rollout
    want: Traffic
    changes: tuple[Change, ...]
    before: tuple[Reading, ...]
    after: tuple[Reading, ...]
    findings: tuple[Finding, ...]
    versions: Mapping[ObjectRef, str]
    """The versions of the objects that the plan was made from, of those that a need names."""
    adopt: bool = False
    create: bool = True
    """Whether an object that is absent is created; off for a wish that an absent object fulfils."""
    removal: bool = False
    """Whether the plan deletes our objects; with `adopt`, `create` and `wish`, what planning the same again needs to know."""
    wish: TrafficWish | None = field(default=None, compare=False, repr=False)
    """What `want` was found out from, where it depends on what is live."""
    observed: Live = field(default_factory=lambda: Live(()), compare=False, repr=False)
    """The objects that the plan was made from."""

    @functools.cached_property
    def fingerprint(self) -> str:
        """What stands for the plan when it is reviewed; see the function of that name."""
        return fingerprint(self.rollout, self.want, self.versions, self.changes, self.findings)

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """The findings that stop this plan."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.REFUSAL)

    @property
    def notes(self) -> tuple[Finding, ...]:
        """The findings that are only reported."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.NOTE)


def change_for(
    need: Need, present: LiveObject | None, wanted: Manifest, rollout: Rollout, *, adopt: bool
) -> Change | None:
    """Compare one wanted object with the live one; None when they agree.

    Raises:
        ForeignOwnerError: a MANAGED object belongs to somebody else and `adopt` is off.
        RollwayError: a backend changed a field that its need does not declare (a bug in the backend).
    """
    if need.access is Access.MANAGED:
        return _managed_change(need, present, wanted, rollout, adopt=adopt)
    assert present is not None, f"{need.ref} is shared, so it was read as required"
    return shared_change(need, present, wanted)


def shared_change(need: Need, present: LiveObject, wanted: Manifest) -> Change | None:
    """Compare a wanted object of the user's with the live one; None when they agree.

    Raises:
        RollwayError: a field differs that the need does not declare.
    """
    if present.manifest == wanted:
        return None
    edits = list(differences(present.manifest, wanted))
    manifest = present.manifest
    outside = [
        field[0]
        for edit in edits
        for field in _changed_fields(edit)
        if not any(_covers(pattern, field, manifest) for pattern in need.fields)
    ]
    if outside or need.access is Access.READ:
        raise RollwayError(
            f"a backend wants to change {pointer(outside[0] if outside else ())} of {need.ref}, which is not its own"
        )
    patch = tuple(_with_tests(present.manifest, edits, need.relies))
    return Change(Action.PATCH, need.ref, present.manifest, wanted, patch, present.version)


def _managed_change(
    need: Need, present: LiveObject | None, wanted: Manifest, rollout: Rollout, *, adopt: bool
) -> Change | None:
    stamped = ownership.stamp(wanted, rollout)
    if present is None:
        return Change(Action.CREATE, need.ref, None, stamped, derived_from=need.derived_from, adopt=adopt)
    if not adopt:
        ownership.refuse_foreign(need.ref, present.manifest, rollout)
    taken_over = adopt and not ownership.owned_by(present.manifest, rollout)
    merged = ownership.merge(present.manifest, stamped, need.own_keys, taken_over=taken_over)
    if merged == present.manifest:
        return None
    patch = tuple(_operation(*edit) for edit in differences(present.manifest, merged))
    return Change(
        Action.APPLY, need.ref, present.manifest, merged, patch, present.version, need.derived_from, adopt
    )


def removal_of(present: LiveObject, need: Need) -> Change:
    """Return the deletion of a managed object, or what gives it back to whom it was taken from."""
    removal = Change(
        Action.DELETE, present.ref, present.manifest, None, (), present.version, need.derived_from
    )
    before = ownership.given_back(present.manifest)
    if before is None:
        return removal
    patch = tuple(_operation(*edit) for edit in differences(present.manifest, before))
    return removal._replace(action=Action.APPLY, after=before, patch=patch)


@functools.lru_cache(maxsize=4096)
def pointer(path: Pointer) -> str:
    """Write a path as a JSON pointer (RFC 6901); those to the few places where objects change are kept."""
    return str(JsonPointer.from_parts(path).path)


def _changed_fields(edit: Edit) -> Iterator[Edit]:
    """Yield an edit; of a mapping that comes or goes as a whole under a key, one for each key of it."""
    path, before, after = edit
    whole = before if after is MISSING else after
    if MISSING in (before, after) and not isinstance(path[-1], int) and isinstance(whole, dict) and whole:
        for key, value in whole.items():
            sides = (value, MISSING) if after is MISSING else (MISSING, value)
            yield from _changed_fields(((*path, key), *sides))
    else:
        yield edit


def _operation(path: Pointer, before: Any, after: Any) -> Operation:
    if after is MISSING:
        return {"op": "remove", "path": pointer(path)}
    return {"op": "add" if before is MISSING else "replace", "path": pointer(path), "value": after}


def _with_tests(before: Manifest, edits: Sequence[Edit], relies: Sequence[str]) -> Iterator[Operation]:
    """Yield the patch that makes the edits in `before`: first what it relies on, then the edits.

    Without `relies`, every edit relies on the value that it replaces. In lists, an edit relies on the names along its
    way, an item that is taken out on all of it, and one that is put in on its neighbours. No test can show that a mapping
    is absent, and adding it would replace one that somebody else has added meanwhile: that relies on the object's version.
    """
    tests: dict[str, Any] = {}
    for edit in edits:
        path, old, new = edit
        tests.update(_names_along(before, path[:-1]))
        if _is_item(edit):
            tests.update({pointer(path): old} if old is not MISSING else _neighbours(before, path, edits))
            continue
        version = lookup(before, _VERSION)
        if old is MISSING and isinstance(new, dict) and version is not MISSING:
            tests[pointer(_VERSION)] = version
        for pattern in relies:
            steps = _instantiate(pattern, path)
            value = lookup(before, steps) if steps is not None else MISSING
            if steps is not None and value is not MISSING:
                tests[pointer(steps)] = value
        if not relies and old is not MISSING:
            tests[pointer(path)] = old
    for target, value in tests.items():
        yield {"op": "test", "path": target, "value": value}
    for edit in edits:
        yield _operation(*edit)


def _is_item(edit: Edit) -> bool:
    """Return whether an edit puts an item in a list, or takes one out."""
    path, old, new = edit
    return bool(path) and isinstance(path[-1], int) and (old is MISSING or new is MISSING)


def _names_along(before: Manifest, path: Pointer) -> Iterator[tuple[str, str]]:
    """Yield the name of each list item on the way to a value, and where it stands."""
    value: Any = before
    for place, step in enumerate(path):
        value = value[step]
        name = name_of(value) if isinstance(step, int) else None
        if name is not None:
            yield pointer((*path[: place + 1], "name")), name


def _neighbours(before: Manifest, path: Pointer, edits: Sequence[Edit]) -> Iterator[tuple[str, Any]]:
    """Yield what tells the items between which another one is put: their names, or all of one that has none."""
    home, index = path[:-1], path[-1]
    assert isinstance(index, int), "an item of a list has an index"
    beside = [edit for edit in edits if edit[0][:-1] == home and _is_item(edit)]
    gone = {place for (*_, place), old, _ in beside if old is not MISSING}
    ahead = sum(1 for (*_, place), old, _ in beside if old is MISSING and int(place) < index)
    items = lookup(before, home)
    kept = [place for place in range(len(items)) if place not in gone]
    behind = index - ahead
    for place in kept[max(behind - 1, 0) : behind + 1]:
        name = name_of(items[place])
        yield pointer((*home, place) if name is None else (*home, place, "name")), name or items[place]
    if not kept:
        yield pointer(home), items


def _covers(pattern: str, edit: Edit, before: Manifest) -> bool:
    """Return whether a field pattern allows an edit; see `Need.fields`."""
    path, old, new = edit
    steps = _steps(pattern)
    if len(steps) > len(path):
        return False
    for place, (want, have) in enumerate(zip(steps, path, strict=False)):
        if isinstance(have, int) and want.startswith(ITEM):
            is_new = old is MISSING and place == len(path) - 1
            item = new if is_new else lookup(before, path[: place + 1])
            if name_of(item) != unescape(want.removeprefix(ITEM)):
                return False
        elif want not in ("*", str(have)):
            return False
    return True


@functools.lru_cache(maxsize=256)
def _steps(pattern: str) -> tuple[str, ...]:
    """Return the steps of a field pattern; the name of an item is still escaped."""
    return tuple(step if step.startswith(ITEM) else unescape(step) for step in pattern.split("/")[1:])


def _instantiate(pattern: str, path: Pointer) -> Pointer | None:
    """Fill the `*` of a pattern with the steps of a path; None when the two part before the last `*`."""
    steps = _steps(pattern)
    filled: list[str | int] = []
    same = True
    for index, step in enumerate(steps):
        have = path[index] if index < len(path) else None
        if step == "*":
            if have is None or not same:
                return None
            filled.append(have)
        else:
            same = same and step == str(have)
            filled.append(have if same and have is not None else step)
    return tuple(filled)


def lookup(value: Any, path: Pointer) -> Any:
    """Return the value at a path, or the marker for none."""
    for step in path:
        try:
            value = value[step]
        except (LookupError, TypeError):
            return MISSING
    return value


def fingerprint(
    rollout: Rollout,
    want: Traffic,
    versions: Mapping[ObjectRef, str],
    changes: Sequence[Change],
    findings: Sequence[Finding],
) -> str:
    """Return 16 hexadecimal digits that stand for the wish, the observed versions, the changes and the findings."""
    import hashlib  # noqa: PLC0415 - 2 ms that only a fingerprint costs

    content = [
        repr(rollout),
        repr(want),
        sorted((str(ref), version) for ref, version in versions.items()),
        [(change.action.value, str(change.ref), change.after) for change in changes],
        [str(finding) for finding in findings],
    ]
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
