"""The recorded decisions of conditions are those of Argo Rollouts' own code."""

from __future__ import annotations

import json

import pytest

from harness.conditions import ANSWERS, decisions

pytestmark = pytest.mark.local


@pytest.mark.parametrize("release", ["1.9", "1.10"])
def test_the_records_are_what_argo_rollouts_decides(release: str) -> None:
    """Each case of the unit tests is decided by Argo's code as it is recorded there."""
    assert decisions(release) == json.loads(ANSWERS.read_text())[release]
