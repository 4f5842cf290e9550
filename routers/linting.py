"""Check Rollouts and their objects before any weight is asked for: what is wrong, and what a weight above 0 would meet.

Everything is read once; the Rollouts are then judged from memory, each of its backends apart, so that one fault hides no
other.
"""

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.routers import ownership
from rollway.routers.backends import backends_of, packages
from rollway.routers.errors import (
    AmbiguousError,
    DuplicateObjectError,
    ForeignOwnerError,
    InvalidInputError,
    ManifestError,
    NotFoundError,
    RefusedError,
    RollwayError,
    StoreError,
    UnknownRolesError,
    UnsupportedError,
    UnwritableError,
)
from rollway.routers.findings import Finding, FindingCode
from rollway.routers.held_weight import held_weight_faults
from rollway.routers.in_charge import controller_findings
from rollway.routers.lookup import pointer_to, read_rollout, read_rollouts
from rollway.routers.model import Context, Strategy
from rollway.routers.objects import Access, Live, ObjectRef
from rollway.routers.observation import Observation
from rollway.routers.observing import read_together
from rollway.routers.planning import needs_of, refuse_unsupported, simulate
from rollway.routers.ramp import unsupported_steps
from rollway.routers.roles import decide_roles
from rollway.routers.rollout import dotted
from rollway.routers.rollout.schema import rollout_schema
from rollway.routers.rollout.unused import asks_for_routing, unused_fields
from rollway.routers.steps import read_steps
from rollway.routers.stores import FileStore, missing
from rollway.routers.traffic import Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.backends import Backend
    from rollway.routers.model import Rollout
    from rollway.routers.objects import LiveObject, Need
    from rollway.routers.plan import Change
    from rollway.routers.stores import Store
    from rollway.routers.traffic import Reading

FINDINGS = (
    FindingCode(
        "manifest-fault",
        "A manifest has a value that its API does not allow, or that contradicts another one.",
        "The API server refuses the object, or a data plane ignores it.",
        "Correct the field that the message names.",
    ),
    FindingCode(
        "not-found",
        "An object, or a route in one, that the Rollout names does not exist.",
        "There is nothing to write the weight into.",
        "Create it, or correct the name in the Rollout.",
    ),
    FindingCode(
        "ambiguous",
        "More than one route or object could be meant.",
        "The weight would be written into one that was guessed.",
        "Name the one that is meant; the message lists them.",
    ),
    FindingCode(
        "roles-unknown",
        "Nothing shows which pod-template hash is stable, or which is the canary. In files this is a note, because a "
        "controller writes the hashes into the live Services alone.",
        "Users would be led to a release that was guessed.",
        "Name the hash with `--stable` or `--canary`; the message tells which.",
    ),
    FindingCode(
        "duplicate-object",
        "An object stands in several places, and nothing decides between them.",
        "What is read and written would depend on the order of the files.",
        "Keep one of them, give `--dir` a folder that has only one, or choose the Rollout's file with `-f`.",
    ),
    FindingCode(
        "foreign-owner",
        "An object with the name that rollway would give to one of its own belongs to somebody else.",
        "The object of another Rollout or tool would be overwritten.",
        "Take it over with `--adopt`, or rename one of the two.",
    ),
    FindingCode(
        "unsupported",
        "A backend lacks what the Rollout asks for, or the manifest needs what rollway does not follow.",
        "The data plane would ignore it without a word.",
        "Leave it out, or use a backend that the message names.",
    ),
    FindingCode(
        "file-unwritable",
        "A weight cannot be written into the text of a file without a change of something else in it.",
        "`plan` and `set-weight` fail with the same message.",
        "Simplify that part of the file: for example, write out a value that several places share by an anchor.",
    ),
    FindingCode(
        "not-usable",
        "The Rollout cannot be judged for a reason that has no code of its own.",
        "A command for this Rollout fails with the same message.",
        "Follow the message.",
    ),
    FindingCode(
        "no-traffic-routing",
        "The Rollout has no `trafficRouting`.",
        "Nothing: rollway leaves such a Rollout alone.",
        "Add `trafficRouting` to let rollway move its traffic.",
    ),
    FindingCode(
        "field-not-used",
        "The strategy has a field that rollway does not act on, like the analysis of another controller. The fields of "
        "`spec` beside `strategy` describe the pods, which rollway never touches, and are not listed.",
        "What the field asks for does not happen when rollway moves the traffic by itself.",
        "Nothing, if another controller acts on it; otherwise do without it.",
    ),
)

FAULT, REFUSAL, NOTE = "fault", "refusal", "note"
NEWLINE = "\n  "
"""What separates the lines of an error's message."""

_CODES: tuple[tuple[type[RollwayError], str], ...] = (
    (DuplicateObjectError, "duplicate-object"),
    (ManifestError, "manifest-fault"),
    (NotFoundError, "not-found"),
    (UnknownRolesError, "roles-unknown"),
    (AmbiguousError, "ambiguous"),
    (ForeignOwnerError, "foreign-owner"),
    (UnsupportedError, "unsupported"),
    (UnwritableError, "file-unwritable"),
    (RefusedError, "cannot-carry-weights"),
    (RollwayError, "not-usable"),
)
"""The code of each kind of error, the first that fits."""


class Problem(NamedTuple):
    """One thing that is wrong, or that a reader should know.

    `place` is `file:line`, or the object where the store knows no files. `severity` is `fault` (wrong as it stands),
    `refusal` (a weight above 0 would be refused) or `note`. `rollout` is `namespace/name`, and empty for a file.
    """

    place: str
    severity: str
    rollout: str
    code: str
    message: str

    @property
    def line(self) -> str:
        """Write it as compilers do, so that editors find the place."""
        parts = (self.place, self.severity, self.rollout, f"{self.message} [{self.code}]")
        return ": ".join(filter(None, parts))


def lint(
    store: Store, namespace: str = "", name: str = "", *, manifests: Store | None = None
) -> list[Problem]:
    """Check one Rollout, or all of a namespace (empty: of the store).

    `manifests` holds the Rollouts where they are not in the store itself, for example a file (None: the store).

    Raises:
        NotFoundError: there is no Rollout of that name.
        StoreError: the store cannot be read.
    """
    rollouts = read_rollouts(manifests or store, namespace, name)
    if name and not rollouts:
        read_rollout(manifests or store, name, namespace)
    live = read_together(store, [rollout for _, rollout in rollouts if not isinstance(rollout, RollwayError)])
    problems = list(_of_store(store, live))
    # What the store could not see is reported above, once for all.
    live = Live(live.values(), live.served, running=live.running)
    for item, rollout in rollouts:
        problems += _Case(item, live, store).problems(rollout)
    return problems


def _of_store(store: Store, live: Live) -> Iterator[Problem]:
    """Yield what the store could not read or see: a file is a fault, whatever it holds."""
    faults = store.faults() if isinstance(store, FileStore) else []
    for finding in faults:
        yield Problem(finding.place, FAULT, "", finding.code, _text(finding))
    reported = {finding.place for finding in faults}
    for note in live.notes:
        if note.code != "files-only" and note.place not in reported - {""}:
            yield Problem(note.place or "(the store)", note.severity.value, "", note.code, _text(note))


def _text(finding: Finding) -> str:
    """Write a finding without its code."""
    return str(finding).removesuffix(f" [{finding.code}]")


@dataclass(frozen=True)
class _Case:
    """One Rollout as the store holds it, and the objects of all."""

    item: LiveObject
    live: Live
    store: Store

    def problems(self, rollout: Rollout | RollwayError) -> Iterator[Problem]:
        """Yield everything there is to report, each thing once."""
        if not asks_for_routing(self.item.manifest):
            message = "has no trafficRouting, so rollway has nothing to do for it"
            yield self._problem(NOTE, "no-traffic-routing", message)
            return
        yield from self._unused()
        yield from self._of_steps()
        if isinstance(rollout, RollwayError):
            yield from self._of_error(rollout)
            return
        absent = missing(needs_of(rollout), self.live)
        for need in absent:
            yield self._absent(need)
        needed = [self.live[need.ref] for need in needs_of(rollout) if need.name and need.ref in self.live]
        doubtful = [(item, item.problem) for item in needed if item.problem]
        for item, problem in doubtful:
            yield from self._of_error(problem, item)
        unusable = {need.ref for need in absent} | {item.ref for item, _ in doubtful}
        if not rollout.roles_known and not unusable:
            try:
                rollout = decide_roles(rollout, self.live)
            except RollwayError as error:
                yield from self._of_error(error)
                return
        yield from dict.fromkeys(self._judged(rollout, unusable))

    def _unused(self) -> Iterator[Problem]:
        for pointer, *others in unused_fields(self.item.manifest, _schema()):
            also = f" (and {', '.join(map(dotted, others))})" if others else ""
            message = f"{dotted(pointer)}{also}: rollway does not act on this field"
            yield self._problem(NOTE, "field-not-used", message, self.item.locate(pointer))

    def _of_steps(self) -> Iterator[Problem]:
        """Yield the faults of the steps that rollway does, and of a weight that is held in place of theirs."""
        manifest = self.item.manifest
        for path, message in (*read_steps(manifest).faults, *held_weight_faults(manifest)):
            yield self._problem(FAULT, "manifest-fault", f"{dotted(path)}: {message}", self.item.locate(path))

    def _judged(self, rollout: Rollout, unusable: set[ObjectRef]) -> Iterator[Problem]:
        """Yield the findings of each backend for the weights that a Rollout may get, if it has what it needs."""
        yield from self._unsupported(rollout, Traffic(Split(0, rollout.total)))
        yield from map(self._of_finding, controller_findings(rollout))
        usable = [
            backend
            for backend in backends_of(rollout)
            if not any(need.name and need.ref in unusable for need in backend.needs(rollout))
        ]
        steps = read_steps(self.item.manifest).steps
        for path, reason in unsupported_steps(steps, rollout, self.live, usable):
            message = f"{dotted(path)}: {reason}"
            yield self._problem(REFUSAL, "unsupported", message, self.item.locate(path))
        readings: list[Reading] = []
        for backend in usable:
            yield from self._foreign(rollout, backend)
            seen: tuple[Reading, ...] = ()
            with contextlib.suppress(RollwayError):  # reported by the next line
                seen = tuple(backend.observe(rollout, self.live))
            yield from self._met(rollout, backend, Observation(rollout, seen).nearest_traffic)
            readings += seen
        yield from self._disagreement(rollout, readings)

    def _unsupported(self, rollout: Rollout, want: Traffic) -> Iterator[Problem]:
        """Yield what a backend lacks for a wish."""
        try:
            refuse_unsupported(rollout, want)
        except RollwayError as error:
            yield from self._of_error(error)

    def _foreign(self, rollout: Rollout, backend: Backend) -> Iterator[Problem]:
        """Yield the objects of ours by name that belong to somebody else."""
        for need in backend.needs(rollout):
            item = self.live.get(need.ref) if need.access is Access.MANAGED else None
            try:
                if item:
                    ownership.refuse_foreign(item.ref, item.manifest, rollout)
            except ForeignOwnerError as error:
                yield from self._of_error(error, item)

    def _met(self, rollout: Rollout, backend: Backend, now: Traffic) -> Iterator[Problem]:
        """Yield what the weights would meet that differ most: what one of them meets is not repeated for the next."""
        reported: set[tuple[str, ObjectRef | None]] = set()
        tried: set[ObjectRef] = set()
        weights = _weights(rollout)
        while weights:
            weight = weights.pop(0)
            want = replace(now, split=Split(weight, rollout.total))
            if backend.capabilities.missing(want):
                yield from self._unsupported(rollout, want)
                want = Traffic(want.split)
            try:
                context = Context(rollout, want, self.live)
                simulation = simulate(context, adopt=True, backends=[backend], unwritten=tried)
                if weight == 1 and all(
                    reading.exact for reading in backend.observe(rollout, simulation.after)
                ):
                    # Nothing was rounded, and then nothing is for any other weight.
                    weights = weights[-1:]
            except RollwayError as error:
                yield from self._of_error(error)
                return
            fresh = [item for item in simulation.findings if (item.code, item.ref) not in reported]
            reported |= {(item.code, item.ref) for item in fresh}
            yield from map(self._of_finding, fresh)
            for change in simulation.changes:
                if change.ref not in tried:
                    tried.add(change.ref)
                    yield from self._unwritable(change)

    def _unwritable(self, change: Change) -> Iterator[Problem]:
        """Yield why the store cannot take a change, unless that is for want of a right to write."""
        try:
            self.store.check(change)
        except (UnsupportedError, UnwritableError) as error:
            yield from self._of_error(error, self.live.get(change.ref))
        except StoreError:
            pass  # whoever checks the manifests need not be allowed to change them

    def _disagreement(self, rollout: Rollout, readings: list[Reading]) -> Iterator[Problem]:
        """Yield a fault when the objects of a Rollout give the canary different shares."""
        if disagreement := Observation(rollout, tuple(readings)).disagreement:
            yield self._problem(FAULT, disagreement.code, disagreement.message)

    def _absent(self, need: Need) -> Problem:
        """Blame the line that names the object."""
        where = f"{need.namespace}/{need.name}" if need.namespace else need.name
        place = self.item.locate(pointer_to(self.item, need.name))
        return self._problem(FAULT, "not-found", f"{need.kind} {where} not found", place)

    def _of_finding(self, finding: Finding) -> Problem:
        """Blame the object at fault; where it does not exist, the line of the Rollout that names it."""
        if finding.ref is None:
            place = finding.place
        elif finding.ref in self.live:
            place = finding.place or self.live[finding.ref].locate(())
        else:
            place = self.item.locate(pointer_to(self.item, finding.ref.name))
        return self._problem(finding.severity.value, finding.code, _text(finding), place)

    def _of_error(self, error: RollwayError, blamed: LiveObject | None = None) -> Iterator[Problem]:
        failed = error.exit_code == 1 and not isinstance(error, UnwritableError)
        severity = FAULT if failed or isinstance(error, InvalidInputError) else REFUSAL
        if isinstance(error, UnknownRolesError) and not self.live.running:
            severity = NOTE  # in files a Service has no hash: a controller writes it into the live one
        code = next(code for kind, code in _CODES if isinstance(error, kind))
        at_fault = blamed or (self.live.get(error.ref) if isinstance(error.ref, ObjectRef) else None)
        place = at_fault.locate(()) if at_fault else ""
        if error.value:
            place = self.item.locate(pointer_to(self.item, error.value))
        parts = error.faults if isinstance(error, ManifestError) else getattr(error, "reasons", ())
        subject = f"{error.ref}: " if isinstance(error, ManifestError) and at_fault else ""
        for part in parts:
            if isinstance(part, Finding):
                yield self._of_finding(part)
            else:
                yield self._problem(severity, code, subject + part.message, part.place or place)
        if not parts:
            hint = f"; {error.hint.replace(NEWLINE, '; ')}" if error.hint else ""
            yield self._problem(severity, code, error.message.replace(NEWLINE, "; ") + hint, place)
        for other in error.others:
            yield from self._of_error(other)

    def _problem(self, severity: str, code: str, message: str, place: str = "") -> Problem:
        ref = self.item.ref
        here = place or self.item.locate(()) or str(ref)
        return Problem(here, severity, f"{ref.namespace}/{ref.name}", code, message)


@functools.cache
def _schema() -> dict[str, Any]:
    return rollout_schema(packages())


def _weights(rollout: Rollout) -> list[int]:
    """Return the weights above 0 that stand for all.

    The findings of a data plane depend on whether canary and stable get anything at all, and rounding loses the smallest
    share of either first.
    """
    total = rollout.total
    if rollout.strategy is Strategy.BLUE_GREEN:
        return [total]
    return sorted({1, max(total - 1, 1), total})
