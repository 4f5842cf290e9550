"""Check templates, runs, and what Rollouts ask of templates: every fault, with file and path."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rollway.analysis.arguments import placeholders, substituted
from rollway.analysis.lookup import objects, reference_of
from rollway.analysis.spec import CLUSTER_TEMPLATE, RUN, TEMPLATE, Analysis, Argument, Fault, Reference
from rollway.analysis.spec_reader import MetricReader, read_analysis, unmatched
from rollway.analysis.templates import flattened, gathered
from rollway.routers.linting import FAULT, Problem
from rollway.routers.model import ROLLOUT_KIND
from rollway.routers.objects import dig
from rollway.routers.rollout import dotted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from rollway.routers.objects import Live, LiveObject, Manifest, ObjectRef, Pointer

_STAND_INS = ("0", "result")
"""What stands in for a value that is not known: the one fits as a number, the other in any expression."""
_CONDITIONS = ("successCondition", "failureCondition")


class Use(NamedTuple):
    """What one place of a Rollout asks for: templates, each with its path, and arguments."""

    path: Pointer
    references: tuple[tuple[Pointer, Reference], ...]
    arguments: frozenset[str]


def lint_analyses(
    live: Live, namespace: str = "", rollout: str = "", *, only: Collection[ObjectRef] | None = None
) -> list[Problem]:
    """Check the templates and runs among some objects, and what their Rollouts, or the one of that name, ask of them.

    Problems of other objects than `only` are left out (None: of none).
    """
    library = _Library(live)
    problems: list[Problem] = []
    for item in objects(live, ROLLOUT_KIND, namespace):
        for use in uses(item.manifest):
            found = library.note(use, item.ref.namespace)
            if rollout in ("", item.ref.name) and (only is None or item.ref in only):
                problems += _of_use(item, use, found)
    if rollout:
        return problems
    items = [item for kind in (TEMPLATE, CLUSTER_TEMPLATE, RUN) for item in objects(live, kind, namespace)]
    for item in items if only is None else [item for item in items if item.ref in only]:
        if item.ref.kind != RUN:
            problems += [_problem(item, fault) for fault in library.faults(item)]
            continue
        analysis, faults = read_analysis(item.manifest)
        names = [argument.name for argument in analysis.arguments]
        faults += _unresolved(analysis.arguments)
        problems += [_problem(item, fault) for fault in (*faults, *_metric_faults(analysis, names, ()))]
    return problems


class _Found(NamedTuple):
    """What a use comes to: the analysis of all its templates, what is missing, and what contradicts."""

    analysis: Analysis
    absent: Sequence[Reference]
    faults: Sequence[str]


class _Library:
    """The templates of some objects, with what each is used together with."""

    def __init__(self, live: Live) -> None:
        items = [
            item for kind in (TEMPLATE, CLUSTER_TEMPLATE) for item in objects(live, kind) if not item.problem
        ]
        self._read = {item.ref: read_analysis(item.manifest) for item in items}
        self._items = {(item.ref.namespace, reference_of(item)): item for item in items}
        self._arguments: dict[Reference, set[str]] = {}
        self._names: dict[Reference, set[str]] = {}
        for item in items:
            self._gather([reference_of(item)], item.ref.namespace)

    def _known(self, namespace: str) -> dict[Reference, Analysis]:
        return {
            reference: self._read[item.ref][0]
            for (place, reference), item in self._items.items()
            if reference.cluster or place == namespace
        }

    def _gather(self, references: Sequence[Reference], namespace: str) -> _Found:
        """Return what some templates are together, and remember it for each of them."""
        known = self._known(namespace)
        found, absent = gathered(references, known)
        analysis, faults = flattened([known[reference] for reference in found])
        for reference in found:
            self._arguments.setdefault(reference, set()).update(each.name for each in analysis.arguments)
            self._names.setdefault(reference, set()).update(str(each["name"]) for each in analysis.metrics)
        return _Found(analysis, absent, faults)

    def note(self, use: Use, namespace: str) -> _Found:
        """Return what a use comes to."""
        return self._gather([reference for _, reference in use.references], namespace)

    def faults(self, item: LiveObject) -> Iterator[Fault]:
        """Yield every fault of a template."""
        if item.problem:
            yield Fault((), item.problem.message)
            return
        analysis, faults = self._read[item.ref]
        yield from faults
        reference = reference_of(item)
        together = self._gather([reference], item.ref.namespace)
        for index, other in enumerate(analysis.references):
            if other in together.absent and (other.cluster or not reference.cluster):
                yield Fault(("spec", "templates", index, "templateName"), f"{other} not found")
        if analysis.references:
            yield from (Fault(("spec", "templates"), message) for message in together.faults)
        yield from _metric_faults(analysis, self._arguments[reference], self._names[reference])


def _metric_faults(analysis: Analysis, arguments: Collection[str], names: Collection[str]) -> Iterator[Fault]:
    """Yield the faults of metrics whose arguments have these names; not all of them have a value yet."""
    values = {each.name: each.value for each in analysis.arguments if each.value is not None}
    for index, metric in enumerate(analysis.metrics):
        path: Pointer = ("spec", "metrics", index)
        open_places = []
        for place, name in placeholders(metric):
            known = name.removeprefix("args.") if name.startswith("args.") else None
            if known not in arguments:
                yield Fault((*path, *place), f"{{{{{name}}}}} is no argument of the template")
            if known not in values:
                open_places.append((*path, *place))
        yield from _open_faults(metric, path, values, open_places)
    yield from unmatched(analysis, [*names, *(str(metric.get("name")) for metric in analysis.metrics)])


def _open_faults(
    metric: Manifest, path: Pointer, values: Mapping[str, str], open_places: Sequence[Pointer]
) -> Iterator[Fault]:
    """Yield the faults that a metric has whatever the values are that are not known yet."""
    found: list[dict[Pointer, Fault]] = []
    for text in _STAND_INS if open_places else _STAND_INS[:1]:
        reader = MetricReader(substituted(metric, values, _always(text)), path)
        reader.read()
        found.append({fault.path: fault for fault in reader.faults})
    for place, fault in found[0].items():
        depends = any(place[: len(each)] == each or each[: len(place)] == place for each in open_places)
        is_condition = place[-1] in _CONDITIONS
        if all(place in each for each in found) and (is_condition or not depends):
            yield fault


def _always(text: str) -> Callable[[str], str]:
    return lambda _name: text


def _unresolved(arguments: Sequence[Argument], given: Collection[str] = ()) -> list[Fault]:
    return [
        Fault(("spec", "args"), f"args.{argument.name} was not resolved")
        for argument in arguments
        if not argument.resolved and argument.name not in given
    ]


def _of_use(item: LiveObject, use: Use, found: _Found) -> Iterator[Problem]:
    """Yield what a Rollout asks for that there is not."""
    for path, reference in use.references:
        if reference in found.absent:
            yield _problem(item, Fault(path, f"{reference} not found"), "not-found")
    indirect = set(found.absent) - {reference for _, reference in use.references}
    for reference in sorted(indirect):
        yield _problem(
            item, Fault(use.path, f"{reference}, which a template takes in, not found"), "not-found"
        )
    for message in found.faults:
        yield _problem(item, Fault(use.path, message))
    open_arguments = () if found.absent else found.analysis.arguments
    yield from (
        _problem(item, Fault((*use.path, "args"), fault.message))
        for fault in _unresolved(open_arguments, use.arguments)
    )


def uses(rollout: Manifest) -> Iterator[Use]:
    """Yield each analysis of a Rollout and of its experiment steps."""
    canary: Pointer = ("spec", "strategy", "canary")
    blue_green: Pointer = ("spec", "strategy", "blueGreen")
    places: list[Pointer] = [(*canary, "analysis")]
    steps = dig(rollout, *canary, "steps")
    for index, step in enumerate(steps if isinstance(steps, list) else ()):
        places.append((*canary, "steps", index, "analysis"))
        analyses = dig(step, "experiment", "analyses")
        count = len(analyses) if isinstance(analyses, list) else 0
        places += [(*canary, "steps", index, "experiment", "analyses", each) for each in range(count)]
    places += [(*blue_green, "prePromotionAnalysis"), (*blue_green, "postPromotionAnalysis")]
    for place in places:
        given = dig(rollout, *place)
        if isinstance(given, dict):
            yield _use(given, place)


def _use(given: Manifest, place: Pointer) -> Use:
    if "templateName" in given:
        references = [((*place, "templateName"), given)]
    else:
        listed = given.get("templates")
        references = [
            ((*place, "templates", index, "templateName"), each)
            for index, each in enumerate(listed if isinstance(listed, list) else ())
            if isinstance(each, dict)
        ]
    arguments = given.get("args")
    return Use(
        place,
        tuple(
            (path, Reference(str(each.get("templateName")), bool(each.get("clusterScope"))))
            for path, each in references
        ),
        frozenset(
            str(each.get("name"))
            for each in (arguments if isinstance(arguments, list) else ())
            if isinstance(each, dict)
        ),
    )


def _problem(item: LiveObject, fault: Fault, code: str = "manifest-fault") -> Problem:
    """Blame the line of a fault, or the nearest one above it that is written."""
    path = fault.path
    while path and dig(item.manifest, *path) is None:
        path = path[:-1]
    ref = item.ref
    place = item.locate(path) or str(ref)
    subject = f"{ref.namespace}/{ref.name}" if ref.kind == ROLLOUT_KIND else ""
    name = "" if ref.kind == ROLLOUT_KIND else f"{ref.kind} {ref.name}: "
    return Problem(place, FAULT, subject, code, f"{name}{dotted(fault.path)}: {fault.message}")
