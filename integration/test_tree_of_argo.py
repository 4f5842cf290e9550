"""The tree of `rollway get` on the objects with which Argo Rollouts tests its own command line: the same text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml

from harness import tools
from rollway.cli.tree import lines
from rollway.releases.tree import Related, tree_of

if TYPE_CHECKING:
    from pathlib import Path

    from rollway.routers.objects import Manifest

NOW = datetime(2026, 1, 8, tzinfo=UTC)
CREATED = (NOW - timedelta(days=7)).isoformat()
CASES = {
    "TestGetCanaryRollout": ("canary", "canary-demo"),
    "TestGetCanaryPingPongRollout": ("canary", "canary-demo-pingpong"),
    "TestGetBlueGreenRollout": ("blue-green", "bluegreen-demo"),
    "TestExperimentRollout": ("experiment-analysis", "rollout-experiment-analysis"),
    "TestGetRolloutWithExperimentJob": ("experiment-step", "canary-demo"),
    "TestGetInvalidRollout": ("rollout-invalid", "rollout-invalid"),
    "TestGetAbortedRollout": ("rollout-aborted", "rollout-background-analysis"),
}
"""The test of Argo Rollouts, the folder of its objects, and the Rollout."""


def folder() -> Path:
    """Return the folder of Argo Rollouts' command line in its module."""
    return tools.module_folder("github.com/argoproj/argo-rollouts") / "pkg" / "kubectl-argo-rollouts"


def objects(name: str) -> list[Manifest]:
    """Return the objects of a folder, a week old, as the tests of Argo Rollouts read them."""
    found: list[Any] = []
    for file in sorted((folder() / "info" / "testdata" / name).glob("*.yaml")):
        manifest = yaml.load(file.read_text(), Loader=yaml.CBaseLoader)
        typed = yaml.safe_load(file.read_text())
        # Times stay texts, as an API server writes them.
        typed["metadata"] = {**manifest["metadata"], "creationTimestamp": CREATED}
        typed["metadata"]["generation"] = int(manifest["metadata"].get("generation", 0))
        for metric in (typed.get("status") or {}).get("metricResults") or ():
            for measurement in metric.get("measurements") or ():
                measurement["startedAt"] = CREATED
        found.append(typed)
    return found


@pytest.mark.parametrize("test", CASES)
def test_the_tree_is_the_one_that_users_know(test: str) -> None:
    """Each tree that Argo Rollouts' tests expect of its objects is what `rollway get` prints for them."""
    source = (folder() / "cmd" / "get" / "get_test.go").read_text()
    body = source.split(f"func {test}(")[1].split("\nfunc ")[0]
    expected = re.search(r"TrimPrefix\(`\n(.*)`, \"\\n\"\)", body, re.DOTALL)
    assert expected, test
    text = expected[1].replace('`+"`selector`"+`', "`selector`").replace('`+"`labels`"+`', "`labels`")
    where, name = CASES[test]
    found = objects(where)
    kinds = {
        kind: [item for item in found if item["kind"] == kind]
        for kind in ("Rollout", "ReplicaSet", "Pod", "AnalysisRun", "Experiment")
    }
    rollout = next(item for item in kinds.pop("Rollout") if item["metadata"]["name"] == name)
    tree = tree_of(rollout, Related(*kinds.values()))
    printed = [click.unstyle(line) for line in lines(tree, None, NOW)]
    assert printed == [line.rstrip() for line in text.splitlines()]
