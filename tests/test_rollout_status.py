"""The status of a Rollout: merge patches, what it carries from one look to the next, and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollway.controller.progress import PauseCondition, Progress, progress_fields, read_progress
from rollway.controller.status import merge_patch, merged
from rollway.controller.world import ReplicaSet, whole_second
from rollway.releases.phase import write_time

SCALARS = st.one_of(st.booleans(), st.integers(0, 3), st.sampled_from(["", "a", "b"]))
VALUES = st.recursive(
    st.one_of(SCALARS, st.lists(SCALARS, max_size=2)),
    lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)
STATUSES = st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=3)


@given(old=STATUSES, new=STATUSES)
def test_the_patch_makes_the_new_status(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Whatever was there, the merge patch gives the new status; it is empty where nothing changes."""
    patch = merge_patch(old, new)
    assert merged(old, patch) == new
    assert bool(patch) == (old != new)


MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(MOMENTS)
def test_a_pause_is_never_shorter_for_being_written(when: datetime) -> None:
    """A time is rounded up to the second that it is written with, by less than one."""
    rounded = whole_second(when)
    assert timedelta() <= rounded - when < timedelta(seconds=1)
    assert datetime.fromisoformat(write_time(rounded)) == rounded


@given(
    st.builds(
        Progress,
        pod_hash=st.sampled_from(["", "h1"]),
        step_hash=st.sampled_from(["", "s1"]),
        stable=st.sampled_from(["", "h1", "h2"]),
        index=st.one_of(st.none(), st.integers(0, 5)),
        pauses=st.lists(
            st.builds(
                PauseCondition,
                st.sampled_from(["CanaryPauseStep", "BlueGreenPause"]),
                MOMENTS.map(whole_second),
            ),
            max_size=2,
        ).map(tuple),
        controller_pause=st.booleans(),
        aborted=st.booleans(),
        aborted_at=st.one_of(st.none(), MOMENTS.map(whole_second)),
        promote_full=st.booleans(),
        restarted_at=st.sampled_from(["", "2026-01-01T00:00:00Z"]),
    )
)
def test_progress_is_read_as_it_was_written(progress: Progress) -> None:
    """What a status carries is the same at the next look."""
    assert read_progress(progress_fields(progress)) == progress


def test_a_user_ends_a_pause_by_an_empty_list() -> None:
    """The controller has noted a pause, and its list is empty: a user has promoted."""
    assert read_progress({"controllerPause": True}).resumed
    paused = Progress().with_pause("CanaryPauseStep", datetime(2026, 1, 1, tzinfo=UTC))
    assert not paused.resumed
    assert not paused.without_pauses().resumed


@pytest.mark.parametrize("status", [{"currentStepIndex": "1"}, {"pauseConditions": [{"reason": "x"}]}])
def test_what_cannot_be_read_counts_as_absent(status: dict[str, Any]) -> None:
    """A status that somebody has spoiled stops no release."""
    assert read_progress(status) == Progress()


def test_a_replica_set_with_nothing_in_it() -> None:
    """A ReplicaSet without fields is read with the defaults of Kubernetes."""
    bare = ReplicaSet({"metadata": {"name": "web-1", "annotations": {"rollout.argoproj.io/revision": "x"}}})
    assert (bare.desired, bare.available, bare.revision, bare.pod_hash, bare.created) == (1, 0, 0, "", "")
    assert (bare.deadline, bare.template, bare.settled) == (None, {}, True)
