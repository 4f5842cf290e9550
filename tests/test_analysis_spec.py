"""Templates and runs are read with every fault at once; arguments and templates come together as in Argo Rollouts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rollway.analysis.arguments import combined, merged, placeholders, redacted, substituted
from rollway.analysis.providers import known_providers
from rollway.analysis.spec import Argument, Reference, SecretKey
from rollway.analysis.spec_reader import read_analysis, read_metrics
from rollway.analysis.templates import flattened, gathered
from rollway.routers.rollout import dotted

KNOWN = ", ".join(known_providers())


def template(metrics: list[dict[str, Any]] | None = None, **spec: Any) -> dict[str, Any]:
    """Return a template."""
    return {"kind": "AnalysisTemplate", "metadata": {"name": "t"}, "spec": {"metrics": metrics or [], **spec}}


def metric(name: str = "rate", **fields: Any) -> dict[str, Any]:
    """Return a metric that asks a web server."""
    return {"name": name, "provider": {"web": {"url": "http://metrics/rate"}}, **fields}


def faults(*metrics: dict[str, Any], values: dict[str, str] | None = None, **spec: Any) -> dict[str, str]:
    """Read a template, and return its faults by their paths."""
    analysis, found = read_analysis(template(list(metrics), **spec))
    if not found:
        _, found = read_metrics(analysis, values or {})
    return {dotted(fault.path): fault.message for fault in found}


def test_a_metric_has_the_defaults_of_argo_rollouts() -> None:
    """A metric without numbers is measured once, and each limit is that of Argo Rollouts."""
    analysis, _ = read_analysis(template([metric(), metric("endless", interval="1m30s")]))
    (once, endless), found = read_metrics(analysis, {})
    assert not found
    assert (once.count, once.interval, once.retention) == (1, None, 10)
    assert (endless.count, endless.interval) == (None, timedelta(seconds=90))
    limits = ("failure_limit", "inconclusive_limit", "consecutive_error_limit", "consecutive_success_limit")
    assert [getattr(once, limit) for limit in limits] == [0, 0, 4, 0]


def test_arguments_are_values_everywhere() -> None:
    """A placeholder in any text, also that of a number, is replaced, whatever characters the value has."""
    written = metric(
        count="{{args.count}}",
        interval="{{ args.interval }}",
        successCondition='result == "{{args.text}}"',
    )
    written["provider"]["web"]["headers"] = [{"key": "X", "value": "{{args.text}}"}]
    analysis, _ = read_analysis(template([written]))
    values = {"count": "3", "interval": "10s", "text": "ä{}:"}
    (read,), found = read_metrics(analysis, values)
    assert not found
    assert (read.count, read.interval) == (3, timedelta(seconds=10))
    assert read.settings["headers"] == [{"key": "X", "value": "ä{}:"}]
    assert read.success is not None
    assert read.success.source == 'result == "ä{}:"'


def test_every_fault_of_metrics_comes_at_once() -> None:
    """The faults of all metrics have their paths, and none hides another."""
    assert faults(
        metric("a", count=3),
        metric("b", interval="soon", initialDelay="1 day", failureLimit=-2),
        metric("c", successCondition="foo(result)", failureCondition="result >"),
        {"name": "d", "provider": {"web": {"url": "nowhere"}, "job": {}}},
        {"name": "e", "provider": {"cloudWatch": {"metricDataQueries": []}}},
        {"name": "f", "provider": {"web": {"url": "ftp://x", "jsonPath": "{$..[", "body": "b"}}},
        metric("g", count="x", failureLimit="{{args.limit}}"),
        metric("h", failureLimit=-1),
        metric("i", count=2, interval="1s", failureLimit=2, consecutiveSuccessLimit=1, inconclusiveLimit=3),
        {"name": "j", "provider": {}},
    ) == {
        "spec.metrics[0].interval": "must be specified when count > 1",
        "spec.metrics[1].interval": "'soon' is no duration; 1h30m, for example, is one",
        "spec.metrics[1].initialDelay": "'1 day' is no duration; 1h30m, for example, is one",
        "spec.metrics[1].failureLimit": "must be >= 0, or -1 to be disabled",
        "spec.metrics[2].successCondition": "unknown function `foo`, at character 1 of `foo(result)`",
        "spec.metrics[2].failureCondition": "the expression ends too early, at character 9 of `result >`",
        "spec.metrics[3].provider": f"gives 2 providers; give one of {KNOWN}",
        "spec.metrics[4].provider.cloudWatch": (
            f"cloudWatch is a provider of Argo Rollouts that rollway does not have yet; there is {KNOWN}"
        ),
        "spec.metrics[5].provider.web.url": "is no URL like https://host/path",
        "spec.metrics[5].provider.web.body": "needs the method POST or PUT",
        "spec.metrics[5].provider.web.jsonPath": faults(
            {"name": "f", "provider": {"web": {"url": "http://x", "jsonPath": "{$..["}}}
        )["spec.metrics[0].provider.web.jsonPath"],
        "spec.metrics[6].failureLimit": "{{args.limit}} has no value",
        "spec.metrics[7].failureLimit": "and consecutiveSuccessLimit cannot both be disabled",
        "spec.metrics[8].count": "must be >= inconclusiveLimit",
        "spec.metrics[9].provider": f"names no provider; give one of {KNOWN}",
    }


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, {"spec.metrics": "no metrics specified"}),
        ({"metrics": [metric(), metric()]}, {"spec.metrics[1].name": "duplicate name 'rate'"}),
        ({"metrics": [metric(typo=1)]}, {"spec.metrics[0].typo": "unknown key"}),
        (
            {"metrics": [metric()], "args": [{"name": "a", "value": 5}]},
            {"spec.args[0].value": '5 is not of type "string" (put it in quotes)'},
        ),
        (
            {"metrics": [metric()], "dryRun": [{"metricName": "r.*"}, {"metricName": "x"}]},
            {"spec.dryRun[1].metricName": "the rule matches no name of a metric"},
        ),
        (
            {"metrics": [metric()], "dryRun": [{"metricName": "("}]},
            {"spec.dryRun[0].metricName": "'(' is no regular expression: missing ): ("},
        ),
        (
            {"metrics": [metric()], "measurementRetention": [{"metricName": ".*", "limit": 0}]},
            {"spec.measurementRetention[0].limit": "0 is less than the minimum of 1"},
        ),
        (
            {
                "metrics": [metric()],
                "args": [{"name": "a", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}],
            },
            {"spec.args[0]": "has more than one value"},
        ),
    ],
)
def test_faults_of_a_spec(spec: dict[str, Any], wanted: dict[str, str]) -> None:
    """What is wrong beside the metrics has its path as well."""
    metrics = spec.pop("metrics", [])
    assert faults(*metrics, **spec) == wanted


def test_rules_by_names_reach_their_metrics() -> None:
    """`dryRun` and `measurementRetention` are regular expressions of names; the last rule that matches counts."""
    spec = {
        "dryRun": [{"metricName": "slow"}],
        "measurementRetention": [{"metricName": ".*", "limit": 5}, {"metricName": "^rate$", "limit": 20}],
    }
    analysis, _ = read_analysis(template([metric(), metric("slowest")], **spec))
    metrics, found = read_metrics(analysis, {})
    assert not found
    assert [(each.dry_run, each.retention) for each in metrics] == [(False, 20), (True, 5)]


def test_given_arguments_override_declared_ones() -> None:
    """Only declared arguments are taken, and a value given outweighs a default and a secret."""
    declared = [Argument("a", "1"), Argument("b", secret=SecretKey("s", "k")), Argument("c")]
    given = [Argument("b", "2"), Argument("c"), Argument("d", "4")]
    assert merged(given, declared) == (Argument("a", "1"), Argument("b", "2"), Argument("c"))


def test_templates_take_in_others() -> None:
    """Each template comes once, however often and however round it is named, and those of the cluster come last."""
    one, two, three = (
        Reference("one", cluster=False),
        Reference("two", cluster=True),
        Reference("three", cluster=False),
    )
    read = {
        one: read_analysis(
            template([metric("a")], templates=[{"templateName": "two", "clusterScope": True}])
        )[0],
        two: read_analysis(
            template(
                [metric("b")],
                templates=[{"templateName": "one"}, {"templateName": "three"}, {"templateName": "none"}],
            )
        )[0],
        three: read_analysis(template([metric("c")], args=[{"name": "x", "value": "1"}]))[0],
    }
    found, absent = gathered([one], read)
    assert (found, absent) == ([one, three, two], [Reference("none", cluster=False)])
    whole, contradictions = flattened([read[each] for each in found])
    assert [each["name"] for each in whole.metrics] == ["a", "c", "b"]
    assert not contradictions


def test_templates_must_not_contradict_each_other() -> None:
    """Two metrics of one name, and two values of one argument, are faults; a default beside none is not."""
    one = read_analysis(template([metric()], args=[{"name": "x", "value": "1"}, {"name": "y"}]))[0]
    two = read_analysis(
        template([metric()], args=[{"name": "x", "value": "2"}, {"name": "y", "value": "3"}])
    )[0]
    whole, contradictions = flattened([one, two])
    assert contradictions == [
        "argument x has two values, '1' and '2'",
        "two metrics have the name 'rate'",
    ]
    assert whole.arguments == (Argument("x", "1"), Argument("y", "3"))
    assert combined([Argument("z"), Argument("z", "5")]) == ((Argument("z", "5"),), [])


def test_placeholders_have_their_places() -> None:
    """Each placeholder is found where it stands, and one that is unknown is left to the caller."""
    value = {"a": ["{{args.x}} and {{ args.y }}"], "b": {"c": "{{other}}"}}
    assert list(placeholders(value)) == [
        (("a", 0), "args.x"),
        (("a", 0), "args.y"),
        (("b", "c"), "other"),
    ]
    assert substituted(value, {"x": "1"}, lambda name: f"<{name}>") == {
        "a": ["1 and <args.y>"],
        "b": {"c": "<other>"},
    }


@pytest.mark.parametrize(
    "form",
    [
        'pä/ss "word"',
        "p%C3%A4%2Fss%20%22word%22",
        "p%C3%A4%2Fss+%22word%22",
        'pä/ss \\"word\\"',
        "cMOkL3NzICJ3b3JkIg==",
    ],
)
def test_a_secret_shows_in_no_form(form: str) -> None:
    """A secret is taken out of a text as it is, and as URLs, JSON and headers write it."""
    assert redacted(f"no answer from {form}!", ['pä/ss "word"']) == "no answer from *****!"
