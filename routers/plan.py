"""The plan as a value: what changes, from what to what, what the data plane does with it, and its fingerprint.

Everything here is pure. No change at all is `None`, never an empty plan.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from jsonpointer import JsonPointer

from rollway.routers import ownership
from rollway.routers.errors import RollwayError
from rollway.routers.findings import Severity
from rollway.routers.objects import Access, Live, without_server_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rollway.routers.findings import Finding
    from rollway.routers.model import Rollout
    from rollway.routers.objects import LiveObject, Manifest, Need, ObjectRef, Pointer
    from rollway.routers.traffic import Reading, Traffic

DryRun: TypeAlias = Literal[False, True, "server"]
"""Whether to write (False), to plan only (True), or to let the store check every write and keep none ("server")."""

Operation: TypeAlias = dict[str, Any]
"""One operation of a JSON Patch (RFC 6902)."""


class Action(enum.Enum):
    """What a change does to its object."""

    CREATE = "create"
    PATCH = "patch"
    """A SHARED object: a JSON Patch with tests on what it relies on."""
    APPLY = "apply"
    """A MANAGED object: brought to `after`, field by field."""
    DELETE = "delete"


@dataclass(frozen=True)
class Change:
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
            return _holds(now, after)
        edits = differences(without_server_fields(self.before), after)
        return any(_lookup(now, path) == new for path, _, new in edits)

    def inverse(self, present: LiveObject | None) -> Change | None:
        """Return the change that takes this one out of the object as it is now; None when nothing of it is left.

        What somebody else has changed since then stays.
        """
        if self.after is None:
            undo = replace(self, action=Action.CREATE, before=None, after=self.before, patch=(), version="")
            return None if present else undo
        if present is None or not self._is_left_in(present.manifest):
            return None
        now = present.manifest
        undo = replace(self, before=now, patch=(), version=present.version)
        if self.before is None:
            return replace(undo, action=Action.DELETE, after=None)
        after = _without_step(now, without_server_fields(self.before), without_server_fields(self.after))
        edits = list(differences(now, after))
        tests = self.action is Action.PATCH
        patch = _with_tests(now, edits, ()) if tests else (_operation(*edit) for edit in edits)
        return replace(undo, after=after, patch=tuple(patch))


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
    """Whether the plan deletes our objects; with `adopt` and `create`, what planning the same again needs to know."""
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
    if present.manifest == wanted:
        return None
    edits = list(differences(present.manifest, wanted))
    outside = [path for path, _, _ in edits if not any(_covers(pattern, path) for pattern in need.fields)]
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
    return replace(removal, action=Action.APPLY, after=before, patch=patch)


_MISSING: Any = object()

Edit: TypeAlias = "tuple[Pointer, Any, Any]"
"""A field, its old value and its new one; the private marker `_MISSING` stands for none."""


def differences(before: Any, after: Any, path: Pointer = ()) -> Iterator[Edit]:
    """Yield (pointer, old, new) for every field that differs; a list of another length differs as a whole.

    A value that is not there is the module's private marker, which `_operation` turns into add or remove.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from differences(before.get(key, _MISSING), after.get(key, _MISSING), (*path, key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from differences(old, new, (*path, index))
    elif before is _MISSING or after is _MISSING or before != after or type(before) is not type(after):
        yield path, before, after


def _holds(present: Any, wanted: Any) -> bool:
    """Return whether an object has everything that was written; what a server added does not count."""
    if isinstance(present, dict) and isinstance(wanted, dict):
        return all(key in present and _holds(present[key], value) for key, value in wanted.items())
    if isinstance(present, list) and isinstance(wanted, list):
        return len(present) == len(wanted) and all(map(_holds, present, wanted))
    return bool(present == wanted)


def _without_step(now: Any, before: Any, after: Any) -> Any:
    """Return `now` without the step from `before` to `after`: a merge of three, in which a foreign change wins."""
    if before == after:
        return now
    if now == after:
        return before
    if isinstance(now, dict) and isinstance(after, dict) and (before is _MISSING or isinstance(before, dict)):
        old = {} if before is _MISSING else before
        merged = {
            key: _without_step(now.get(key, _MISSING), old.get(key, _MISSING), after.get(key, _MISSING))
            for key in [*now, *(key for key in old if key not in now)]
        }
        left = {key: value for key, value in merged.items() if value is not _MISSING}
        return left if left or before is not _MISSING else _MISSING
    lists = all(isinstance(value, list) for value in (now, before, after))
    if lists and len(now) == len(before) == len(after):
        return [_without_step(*items) for items in zip(now, before, after, strict=True)]
    return now


def is_missing(value: Any) -> bool:
    """Return whether a side of a difference is no value at all."""
    return value is _MISSING


@functools.lru_cache(maxsize=4096)
def pointer(path: Pointer) -> str:
    """Write a path as a JSON pointer (RFC 6901)."""
    return str(JsonPointer.from_parts(path).path)


def _operation(path: Pointer, before: Any, after: Any) -> Operation:
    if after is _MISSING:
        return {"op": "remove", "path": pointer(path)}
    return {"op": "add" if before is _MISSING else "replace", "path": pointer(path), "value": after}


def _with_tests(before: Manifest, edits: Sequence[Edit], relies: Sequence[str]) -> Iterator[Operation]:
    """Yield the patch that makes the edits in `before`: first what it relies on, then the edits.

    Without `relies`, every edit relies on the value that it replaces.
    """
    tests: dict[str, Any] = {}
    for path, old, _ in edits:
        for pattern in relies:
            steps = _instantiate(pattern, path)
            value = _lookup(before, steps) if steps is not None else _MISSING
            if steps is not None and value is not _MISSING:
                tests[pointer(steps)] = value
        if not relies and old is not _MISSING:
            tests[pointer(path)] = old
    for target, value in tests.items():
        yield {"op": "test", "path": target, "value": value}
    for edit in edits:
        yield _operation(*edit)


def _covers(pattern: str, path: Pointer) -> bool:
    steps = pattern.split("/")[1:]
    return len(steps) <= len(path) and all(
        want in ("*", str(have)) for want, have in zip(steps, path, strict=False)
    )


def _instantiate(pattern: str, path: Pointer) -> Pointer | None:
    """Fill the `*` of a pattern with the steps of a path; None when the two part before the last `*`."""
    steps = pattern.split("/")[1:]
    filled: list[str | int] = []
    same = True
    for index, step in enumerate(steps):
        have = path[index] if index < len(path) else None
        if step == "*":
            if have is None or not same:
                return None
            filled.append(have)
        else:
            filled.append(step)
            same = same and step == str(have)
    return tuple(filled)


def _lookup(value: Any, path: Pointer) -> Any:
    return JsonPointer.from_parts(path).resolve(value, _MISSING)


def fingerprint(
    rollout: Rollout,
    want: Traffic,
    versions: Mapping[ObjectRef, str],
    changes: Sequence[Change],
    findings: Sequence[Finding],
) -> str:
    """Return 16 hexadecimal digits that stand for the wish, the observed versions, the changes and the findings."""
    content = [
        repr(rollout),
        repr(want),
        sorted((str(ref), version) for ref, version in versions.items()),
        [(change.action.value, str(change.ref), change.after) for change in changes],
        [str(finding) for finding in findings],
    ]
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
