"""Settings of all tests."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Time is never asserted, and coverage slows everything down. In CI the examples are the same in every run, so that
# only a change of the code changes the result; elsewhere they are new ones each time.
settings.register_profile(
    "rollway",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("rollway")
