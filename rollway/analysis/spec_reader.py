"""Read templates, runs and their metrics, and all their faults at once. Pure.

Rules: Argo Rollouts, `utils/analysis/factory.go` (`ValidateMetric`) and `utils/analysis/helpers.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rollway.analysis.arguments import placeholders, substituted
from rollway.analysis.conditions import Condition, ConditionError
from rollway.analysis.conditions.errors import OperationError
from rollway.analysis.conditions.operators import pattern_of
from rollway.analysis.conditions.times import parse_duration
from rollway.analysis.providers import known_providers, provider
from rollway.analysis.schema import RUN_SPEC, TEMPLATE_SPEC, faults_of, without_nulls
from rollway.analysis.spec import (
    CONSECUTIVE_ERROR_LIMIT,
    RETENTION,
    RUN,
    Analysis,
    Argument,
    Fault,
    Metric,
    Reference,
    Retention,
    SecretKey,
)
from rollway.routers.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from rollway.routers.objects import Manifest, Pointer

_SPEC: Pointer = ("spec",)
_METRICS: Pointer = ("spec", "metrics")


def read_analysis(manifest: Manifest) -> tuple[Analysis, list[Fault]]:
    """Read a template or a run without its metrics; what has a fault is left out."""
    spec = without_nulls(manifest.get("spec") or {})
    faults = list(faults_of(RUN_SPEC if manifest.get("kind") == RUN else TEMPLATE_SPEC, spec, _SPEC))
    if any(fault.message != "unknown key" for fault in faults):
        return Analysis(), faults
    arguments = tuple(_argument(each) for each in spec.get("args") or ())
    for index, each in enumerate(spec.get("args") or ()):
        given = [key for key in ("value", "valueFrom") if key in each]
        if len(given) > 1 or len(each.get("valueFrom") or {}) > 1:
            faults.append(Fault(("spec", "args", index), "has more than one value"))
    faults += _repeated("args", [argument.name for argument in arguments])
    analysis = Analysis(
        metrics=tuple(spec.get("metrics") or ()),
        arguments=arguments,
        dry_run=tuple(each["metricName"] for each in spec.get("dryRun") or ()),
        retention=tuple(
            Retention(each["metricName"], each["limit"]) for each in spec.get("measurementRetention") or ()
        ),
        references=tuple(
            Reference(each["templateName"], bool(each.get("clusterScope")))
            for each in spec.get("templates") or ()
        ),
    )
    faults += _repeated("metrics", [str(metric.get("name")) for metric in analysis.metrics])
    faults += _patterns(analysis)
    if not analysis.metrics and not analysis.references:
        faults.append(Fault(_METRICS, "no metrics specified"))
    return analysis, faults


def _argument(given: Manifest) -> Argument:
    source = given.get("valueFrom") or {}
    secret = source.get("secretKeyRef")
    return Argument(
        given["name"],
        given.get("value"),
        SecretKey(secret["name"], secret["key"]) if secret else None,
        (source.get("fieldRef") or {}).get("fieldPath", ""),
    )


def _repeated(key: str, names: Sequence[str]) -> list[Fault]:
    return [
        Fault(("spec", key, index, "name"), f"duplicate name {name!r}")
        for index, name in enumerate(names)
        if name in names[:index]
    ]


def _patterns(analysis: Analysis) -> list[Fault]:
    """Return the faults of the regular expressions of names."""
    faults = []
    rules = (
        ("dryRun", analysis.dry_run),
        ("measurementRetention", [each.pattern for each in analysis.retention]),
    )
    for key, patterns in rules:
        for index, pattern in enumerate(patterns):
            place = ("spec", key, index, "metricName")
            if pattern in patterns[:index]:
                faults.append(Fault(place, f"two rules have the name {pattern!r}"))
            try:
                pattern_of(pattern)
            except OperationError as error:
                faults.append(Fault(place, str(error)))
    return faults


def read_metrics(analysis: Analysis, values: Mapping[str, str]) -> tuple[tuple[Metric, ...], list[Fault]]:
    """Read the metrics with the values of their arguments; every placeholder must have one.

    Returns:
        The metrics, none where there is a fault, and all faults.
    """
    metrics, faults = [], []
    for index, written in enumerate(analysis.metrics):
        path = (*_METRICS, index)
        unresolved = [
            Fault((*path, *place), f"{{{{{name}}}}} has no value")
            for place, name in placeholders(written)
            if name.removeprefix("args.") not in values or not name.startswith("args.")
        ]
        faults += unresolved
        if not unresolved:
            reader = MetricReader(substituted(written, values, lambda name: name), path)
            metrics.append(reader.read())
            faults += reader.faults
    names = [str(metric.get("name")) for metric in analysis.metrics]
    faults += unmatched(analysis, names)
    if faults:
        return (), faults
    return tuple(_with_rules(metric, analysis) for metric in metrics if metric), []


def unmatched(analysis: Analysis, names: Sequence[str]) -> list[Fault]:
    """Return a fault for each rule that matches no name of a metric."""
    rules = (
        ("dryRun", analysis.dry_run),
        ("measurementRetention", [each.pattern for each in analysis.retention]),
    )
    return [
        Fault(("spec", key, index, "metricName"), "the rule matches no name of a metric")
        for key, patterns in rules
        for index, pattern in enumerate(patterns)
        if not any(pattern_of(pattern).search(name) for name in names)
    ]


def _with_rules(metric: Metric, analysis: Analysis) -> Metric:
    """Return a metric with what `dryRun` and `measurementRetention` say about it; the last rule that matches counts."""
    from dataclasses import replace  # noqa: PLC0415 - its name is clear here alone

    limits = [rule.limit for rule in analysis.retention if pattern_of(rule.pattern).search(metric.name)]
    dry_run = any(pattern_of(pattern).search(metric.name) for pattern in analysis.dry_run)
    return replace(metric, dry_run=dry_run, retention=limits[-1] if limits else RETENTION)


class MetricReader:
    """Read one metric whose placeholders have values; `faults` gets every fault with the path of its field."""

    def __init__(self, metric: Manifest, path: Pointer) -> None:
        self.faults: list[Fault] = []
        self._metric = metric
        self._path = path

    def read(self) -> Metric | None:
        """Return the metric; None when there are faults."""
        metric = self._metric
        interval, delay = self._duration("interval"), self._duration("initialDelay")
        count = self._number("count", 0)
        failures = self._number("failureLimit", 0, least=-1)
        inconclusive = self._number("inconclusiveLimit", 0)
        errors = self._number("consecutiveErrorLimit", CONSECUTIVE_ERROR_LIMIT)
        successes = self._number("consecutiveSuccessLimit", 0)
        self._check_limits(count, failures, successes, inconclusive)
        if count > 1 and interval is None:
            self._fault("interval", "must be specified when count > 1")
        success, failure = self._condition("successCondition"), self._condition("failureCondition")
        name, settings = self._provider()
        if self.faults:
            return None
        return Metric(
            name=metric["name"],
            provider=name,
            settings=settings,
            success=success,
            failure=failure,
            interval=interval,
            initial_delay=delay,
            count=count or (1 if interval is None else None),
            failure_limit=failures,
            inconclusive_limit=inconclusive,
            consecutive_error_limit=errors,
            consecutive_success_limit=successes,
        )

    def _fault(self, key: str, message: str, *further: str | int) -> None:
        self.faults.append(Fault((*self._path, key, *further), message))

    def _duration(self, key: str) -> timedelta | None:
        given = self._metric.get(key)
        if not given:
            return None
        try:
            return parse_duration(given)
        except OperationError as error:
            self._fault(key, str(error))
            return None

    def _number(self, key: str, default: int, *, least: int = 0) -> int:
        given = self._metric.get(key, default)
        try:
            number = int(given)
        except ValueError:
            self._fault(key, f"{given!r} is no whole number")
            return default
        if number < least:
            self._fault(key, "must be >= 0, or -1 to be disabled" if least < 0 else f"must be >= {least}")
            return default
        return number

    def _check_limits(self, count: int, failures: int, successes: int, inconclusive: int) -> None:
        if successes == 0 and failures == -1:
            self._fault("failureLimit", "and consecutiveSuccessLimit cannot both be disabled")
        if not count:
            return
        if count < max(failures, 0) + successes:
            self._fault(
                "count",
                f"({count}) must be >= failureLimit + consecutiveSuccessLimit ({failures} + {successes})",
            )
        if count < inconclusive:
            self._fault("count", "must be >= inconclusiveLimit")

    def _condition(self, key: str) -> Condition | None:
        source = self._metric.get(key)
        if not source:
            return None
        try:
            return Condition(source)
        except ConditionError as error:
            self._fault(key, error.message)
            return None

    def _provider(self) -> tuple[str, Mapping[str, Any]]:
        given = self._metric.get("provider") or {}
        if len(given) != 1:
            text = f"gives {len(given)} providers" if given else "names no provider"
            self._fault("provider", f"{text}; give one of {', '.join(known_providers())}")
            return "", {}
        ((name, settings),) = given.items()
        try:
            asked = provider(name)
        except InvalidInputError as error:
            self._fault("provider", error.message, name)
            return "", {}
        if not isinstance(settings, dict):
            self._fault("provider", "is not a mapping", name)
            return "", {}
        for place, message in asked.faults(settings):
            self._fault("provider", message, name, *place)
        return name, settings
