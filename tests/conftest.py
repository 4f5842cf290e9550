"""Settings of all tests."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from rollway.routers.finding_codes import finding_codes
from rollway.routers.findings import Finding

# Time is never asserted, and coverage slows everything down. In CI the examples are the same in every run, so that
# only a change of the code changes the result; elsewhere they are new ones each time.
settings.register_profile(
    "rollway",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("rollway")


@pytest.fixture(autouse=True, scope="session")
def _known_codes() -> None:
    """Let a finding with a code that nobody describes fail the test that meets it."""
    codes, initialize = finding_codes(), Finding.__init__

    def checked(self: Finding, code: str, *words: Any, **named: Any) -> None:
        assert code in codes, f"{code} is not in any FINDINGS"
        initialize(self, code, *words, **named)

    Finding.__init__ = checked  # type: ignore[method-assign] # a dataclass has no hook of its own before it is made
