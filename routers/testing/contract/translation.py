"""What a backend renders and reads, whatever a store does with it."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollway.routers.errors import (
    RefusedError,
    RollwayError,
)
from rollway.routers.finding_codes import finding_codes
from rollway.routers.model import Context
from rollway.routers.planning import simulate
from rollway.routers.router import TrafficRouter
from rollway.routers.testing.contract.subject import Subject
from rollway.routers.traffic import Traffic
from rollway.routers.weights import Split

WEIGHTS = (0, 1, 5, 50, 99, 100)


class TranslationContract(Subject):
    """What a backend renders and reads, whatever a store does with it."""

    def test_render_is_pure(self) -> None:
        """Rendering twice gives the same objects and leaves the live ones alone."""
        store = self.store()
        before = copy.deepcopy(store.manifests)
        assert self.render(store, Traffic(Split(self.more))) == self.render(store, Traffic(Split(self.more)))
        assert store.manifests == before

    @pytest.mark.parametrize("weight", WEIGHTS)
    def test_every_finding_has_a_code_that_is_described(self, weight: int) -> None:
        """What the backend reports has a code that its `findings` module, or rollway itself, describes."""
        rollout, live = self.rollout(), self.live(self.store())
        findings = simulate(
            Context(rollout, Traffic(Split(self.possible(weight))), live), adopt=False
        ).findings
        assert {finding.code for finding in findings} <= set(finding_codes())

    @given(total=st.integers(100, 5000), data=st.data())
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
    def test_any_split_round_trips(self, total: int, data: st.DataObject) -> None:
        """Whatever is written is what is observed afterwards, exactly."""
        canaries = st.integers(0, total) if self.partial_weights else st.sampled_from((0, total))
        split = Split(data.draw(canaries), total)
        rollout = replace(self.rollout(), total=total)
        store = self.store()
        TrafficRouter(rollout, store).set_traffic(Traffic(split))
        observation = TrafficRouter(rollout, store).observe()
        assert {reading.traffic for reading in observation.readings} == {Traffic(split)}
        assert all(reading.exact for reading in observation.readings)

    def test_rendered_objects_are_complete(self) -> None:
        """Rendered objects have apiVersion, kind, namespace and a valid name, and are plain JSON."""
        for manifest in self.render(self.store(), Traffic(Split(self.more))):
            assert manifest["apiVersion"]
            assert manifest["kind"]
            assert 0 < len(manifest["metadata"]["name"]) <= 253
            assert json.loads(json.dumps(manifest)) == manifest

    @pytest.mark.parametrize("weight", WEIGHTS)
    def test_weights_are_whole_and_sum_to_the_total(self, weight: int) -> None:
        """The weights in the objects are whole numbers that sum to the total."""
        store = self.store()
        self.router(store).set_weight(self.possible(weight))
        readings = self.router(store).observe().readings
        assert readings
        for reading in readings:
            assert sum(int(value) for _, value in reading.weights) == 100
            assert reading.traffic == Traffic(Split(self.possible(weight)))

    def test_absent_objects_say_nothing(self) -> None:
        """Before the first write the canary has nothing, and observing does not fail."""
        observation = self.router().observe()
        assert observation.traffic == Traffic(Split(0))

    def test_garbage_is_a_typed_error(self) -> None:
        """A routing object that cannot be read raises a typed error and is not changed by observing."""
        for broken in self.garbage():
            store = self.store()
            try:
                store.put(broken)
            except RefusedError:
                continue  # an API server does not even take it
            before = copy.deepcopy(store.manifests)
            with pytest.raises(RollwayError) as caught:
                self.router(store).observe()
            assert str(broken["metadata"]["name"]) in str(caught.value)
            assert store.manifests == before
