"""The contract that every backend keeps. Subclass `BackendContract`, and return a typical Rollout and its objects.

    class TestNginxContract(BackendContract):
        def route(self) -> Rollout: ...
        def objects(self) -> list[Manifest]: ...

Needs `rollway[testing]`. A backend that lacks a feature is tested to refuse it, not skipped.
"""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollway.routers.backends import backends_of
from rollway.routers.errors import (
    ApplyError,
    ConflictError,
    ForeignOwnerError,
    NotFoundError,
    RefusedError,
    RollwayError,
    StoreError,
    UnsupportedError,
)
from rollway.routers.finding_codes import finding_codes
from rollway.routers.model import Context, Strategy
from rollway.routers.objects import Access
from rollway.routers.ownership import ROLLOUT_ANNOTATION
from rollway.routers.planning import needs_of, simulate
from rollway.routers.router import TrafficRouter
from rollway.routers.stores import Store
from rollway.routers.testing.memory import MemoryStore
from rollway.routers.traffic import HeaderRoute, MirrorRoute, Outcome, RequestMatch, StringMatch, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest, Need, ObjectRef
    from rollway.routers.plan import Change
    from rollway.routers.traffic import Reading

WEIGHTS = (0, 1, 5, 50, 99, 100)
AWKWARD = ("no", "1e3", "a: b", "line\nbreak", "{{ x }}", "'\"\\", "é☃")


class ContractStore(Store, Protocol):
    """What the suite asks of a store beside reading and writing: to see, to interfere, and to fail.

    `log` lists each write that was asked for. `interfere` is called with each change just before it is made.
    """

    log: list[Change]
    interfere: Callable[[Change], None]

    @property
    def manifests(self) -> Mapping[ObjectRef, Manifest]:
        """Every object of the test, without what only a server writes."""
        ...

    def put(self, manifest: Manifest) -> object:
        """Store an object, as a foreign writer would."""
        ...

    def edit(self, ref: ObjectRef, change: Callable[[Manifest], None]) -> None:
        """Change an object, as a foreign writer would."""
        ...

    def remove(self, ref: ObjectRef) -> None:
        """Delete an object, as a foreign writer would."""
        ...

    def fail(self, *, at: int, error: BaseException | None = None, times: int = 1) -> None:
        """Let the write with that number (from 0, counted from now) fail, and `times` of them in all."""
        ...

    def lose(self, *, at: int, error: BaseException | None = None, times: int = 1) -> None:
        """Let the answer to the write with that number get lost after it was made, and to as many after it."""
        ...


class BackendContract:
    """What holds for every backend, whatever its objects are."""

    def rollout(self) -> Rollout:
        """Return a typical route that uses this backend alone, with total 100."""
        raise NotImplementedError

    def objects(self) -> list[Manifest]:
        """Return the user's objects that the route needs, before rollway has done anything."""
        raise NotImplementedError

    def garbage(self) -> list[Manifest]:
        """Return routing objects that no data plane could read, one for each way to be broken."""
        raise NotImplementedError

    # -- what the tests share

    keeps_unknown_fields = True
    """Whether the store keeps fields that the schema of a kind does not have; an API server drops them."""

    def store(self) -> ContractStore:
        """Return a fresh store with the user's objects."""
        return MemoryStore(self.objects())

    def router(self, store: ContractStore | None = None) -> TrafficRouter:
        """Return a router on a fresh store, or on the one given."""
        return TrafficRouter(self.rollout(), store or self.store())

    def written(self, access: Access) -> list[Need]:
        """Return the needs of the route with that access."""
        return [need for need in needs_of(self.rollout()) if need.access is access]

    @property
    def targets(self) -> list[ObjectRef]:
        """The objects that this backend may write."""
        return [need.ref for need in needs_of(self.rollout()) if need.access is not Access.READ]

    def live(self, store: ContractStore) -> Live:
        """Read what the route needs."""
        return store.read(needs_of(self.rollout()))

    def render(self, store: ContractStore, want: Traffic) -> list[Manifest]:
        """Render with every backend of the route."""
        return [
            manifest
            for backend in backends_of(self.rollout())
            for manifest in backend.render(self.rollout(), want, self.live(store))
        ]

    def splits(self, store: ContractStore) -> set[Split | None]:
        """Return the splits that the objects show."""
        readings: tuple[Reading, ...] = self.router(store).observe().readings
        return {reading.traffic.split if reading.traffic else None for reading in readings}

    # -- pure

    def test_render_is_pure(self) -> None:
        """Rendering twice gives the same objects and leaves the live ones alone."""
        store = self.store()
        before = copy.deepcopy(store.manifests)
        assert self.render(store, Traffic(Split(20))) == self.render(store, Traffic(Split(20)))
        assert store.manifests == before

    @pytest.mark.parametrize("weight", WEIGHTS)
    def test_every_finding_has_a_code_that_is_described(self, weight: int) -> None:
        """What the backend reports has a code that its `findings` module, or rollway itself, describes."""
        rollout, live = self.rollout(), self.live(self.store())
        findings = simulate(Context(rollout, Traffic(Split(weight)), live), adopt=False).findings
        assert {finding.code for finding in findings} <= set(finding_codes())

    @given(total=st.integers(100, 5000), data=st.data())
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
    def test_any_split_round_trips(self, total: int, data: st.DataObject) -> None:
        """Whatever is written is what is observed afterwards, exactly."""
        split = Split(data.draw(st.integers(0, total)), total)
        rollout = replace(self.rollout(), total=total)
        store = self.store()
        TrafficRouter(rollout, store).set_traffic(Traffic(split))
        observation = TrafficRouter(rollout, store).observe()
        assert {reading.traffic for reading in observation.readings} == {Traffic(split)}
        assert all(reading.exact for reading in observation.readings)

    @pytest.mark.parametrize("weight", WEIGHTS)
    def test_same_wish_twice_changes_nothing(self, weight: int) -> None:
        """After a weight is applied, the plan for it is None and nothing is written."""
        store = self.store()
        router = self.router(store)
        router.set_weight(weight)
        writes = len(store.log)
        assert router.plan(weight) is None
        assert not router.set_weight(weight).changed
        assert len(store.log) == writes

    @pytest.mark.parametrize("weight", WEIGHTS)
    def test_only_targets_are_written(self, weight: int) -> None:
        """Every write goes to an object that the backend asked to write; READ objects stay as they are."""
        store = self.store()
        before = copy.deepcopy(store.manifests)
        self.router(store).set_weight(weight)
        assert {change.ref for change in store.log} <= set(self.targets)
        assert all(
            store.manifests[ref] == manifest for ref, manifest in before.items() if ref not in self.targets
        )

    def test_rendered_objects_are_complete(self) -> None:
        """Rendered objects have apiVersion, kind, namespace and a valid name, and are plain JSON."""
        for manifest in self.render(self.store(), Traffic(Split(20))):
            assert manifest["apiVersion"]
            assert manifest["kind"]
            assert 0 < len(manifest["metadata"]["name"]) <= 253
            assert json.loads(json.dumps(manifest)) == manifest

    @pytest.mark.parametrize("weight", WEIGHTS)
    def test_weights_are_whole_and_sum_to_the_total(self, weight: int) -> None:
        """The weights in the objects are whole numbers that sum to the total."""
        store = self.store()
        self.router(store).set_weight(weight)
        readings = self.router(store).observe().readings
        assert readings
        for reading in readings:
            assert sum(int(value) for _, value in reading.weights) == 100
            assert reading.traffic == Traffic(Split(weight))

    def test_foreign_content_survives(self) -> None:
        """Annotations, labels and fields that somebody else added to our objects stay through every change."""
        store = self.store()
        router = self.router(store)
        router.set_weight(10)

        def add(manifest: Manifest) -> None:
            manifest["metadata"].setdefault("annotations", {})["example.com/note"] = "keep: me"
            manifest["metadata"].setdefault("labels", {})["team"] = "web"
            manifest["metadata"]["finalizers"] = ["example.com/wait"]
            if self.keeps_unknown_fields:
                manifest["spec"]["foreign"] = {"list": [1, None, True]}

        for ref in self.targets:
            store.edit(ref, add)
        for weight in (50, 0, 100):
            router.set_weight(weight)
            for ref in self.targets:
                manifest = store.manifests[ref]
                assert manifest["metadata"]["annotations"]["example.com/note"] == "keep: me"
                assert manifest["metadata"]["labels"]["team"] == "web"
                assert manifest["metadata"]["finalizers"] == ["example.com/wait"]
                if self.keeps_unknown_fields:
                    assert manifest["spec"]["foreign"] == {"list": [1, None, True]}
        assert self.splits(store) == {Split(100)}

    @pytest.mark.parametrize("text", AWKWARD)
    def test_awkward_text_survives(self, text: str) -> None:
        """Text that YAML reads as something else comes through rendering and merging unchanged."""
        store = self.store()
        router = self.router(store)
        router.set_weight(10)

        def annotate(manifest: Manifest) -> None:
            manifest["metadata"].setdefault("annotations", {})["example.com/awkward"] = text

        for ref in self.targets:
            store.edit(ref, annotate)
        router.set_weight(20)
        assert {
            store.manifests[ref]["metadata"]["annotations"]["example.com/awkward"] for ref in self.targets
        } == {text}

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

    # -- with a store

    def test_foreign_managed_object_is_refused(self) -> None:
        """An object of ours by name that belongs to somebody else is refused, and nothing is written."""
        for need in self.written(Access.MANAGED):
            store = self.store()
            self.router(store).set_weight(10)

            def take(manifest: Manifest) -> None:
                manifest["metadata"]["annotations"][ROLLOUT_ANNOTATION] = "another"

            store.edit(need.ref, take)
            before, writes = copy.deepcopy(store.manifests), len(store.log)
            with pytest.raises(ForeignOwnerError, match=need.name):
                self.router(store).set_weight(20)
            with pytest.raises(ForeignOwnerError):
                self.router(store).reset()
            assert (store.manifests, len(store.log)) == (before, writes)
            self.router(store).set_weight(20, adopt=True)
            assert self.splits(store) == {Split(20)}

    @pytest.mark.parametrize(
        ("feature", "name"),
        [
            (
                Traffic(
                    Split(5),
                    header_routes=(
                        HeaderRoute("beta", (RequestMatch((("x-beta", StringMatch("exact", "1")),)),)),
                    ),
                ),
                "header routes",
            ),
            (Traffic(Split(5), mirror_routes=(MirrorRoute("copy"),)), "mirror routes"),
        ],
    )
    def test_missing_capability_is_refused(self, feature: Traffic, name: str) -> None:
        """A wish with a feature that the backend lacks is refused before anything is rendered or written."""
        store = self.store()
        missing = [
            backend
            for backend in backends_of(self.rollout())
            if backend.capabilities.missing(feature) == name
        ]
        if not missing:
            self.router(store).set_traffic(feature)
            assert self.router(store).observe().traffic == feature
            return
        with pytest.raises(UnsupportedError, match=name):
            self.router(store).set_traffic(feature)
        assert not store.log

    def test_missing_input_is_named(self) -> None:
        """Each required object that is missing is named, and nothing is written."""
        for need in needs_of(self.rollout()):
            if need.required and need.name:
                store = self.store()
                store.remove(need.ref)
                with pytest.raises(NotFoundError, match=need.name):
                    self.router(store).set_weight(20)
                assert not store.log

    def test_reset_leaves_the_objects_as_at_the_start(self) -> None:
        """After weights came and went, reset leaves no object of ours and the user's objects as they were."""
        store = self.store()
        router = self.router(store)
        router.set_weight(0)
        start = {
            ref: manifest
            for ref, manifest in copy.deepcopy(store.manifests).items()
            if ref not in self._managed()
        }
        for weight in (20, 70):
            router.set_weight(weight)
        router.reset()
        assert store.manifests == start
        writes = len(store.log)
        assert router.reset() == []
        assert len(store.log) == writes

    def test_failure_at_any_write_is_put_back(self) -> None:
        """When a write fails for good, the objects are as before, or the next call converges."""
        store = self.store()
        router = self.router(store)
        router.set_weight(10)
        before = copy.deepcopy(store.manifests)
        for position in range(len(self.targets)):
            store.fail(at=position)
            with pytest.raises((ApplyError, StoreError)):
                router.set_weight(60)
            assert store.manifests == before
        store.interfere = lambda _change: None
        router.set_weight(60)
        assert self.splits(store) == {Split(60)}

    def test_a_lost_answer_is_found_out_by_reading(self) -> None:
        """When the answer to a write gets lost after it was stored, the call still ends at the wish and counts the object."""
        for position in range(len(self.targets)):
            store = self.store()
            router = self.router(store)
            router.set_weight(10)
            store.lose(at=position)
            assert set(router.set_weight(60).written) == set(self.targets)
            assert self.splits(store) == {Split(60)}

    def test_failure_that_cannot_be_put_back_is_told_and_converges(self) -> None:
        """When putting back fails as well, the error names the object, no canary share exceeds both wishes, and the next call converges."""
        for position in range(1, len(self.targets)):
            store = self.store()
            router = self.router(store)
            router.set_weight(10)
            store.fail(at=position, times=99)
            with pytest.raises(ApplyError, match="NOT put back"):
                router.set_weight(60)
            assert self.splits(store) <= {Split(10), Split(60)}
            store.interfere = lambda _change: None
            router.set_weight(60)
            assert self.splits(store) == {Split(60)}

    def test_killed_between_writes_converges(self) -> None:
        """A process that dies after the k-th write leaves shares between the old and the new, and the next call ends at the wish."""
        for position in range(len(self.targets)):
            store = self.store()
            router = self.router(store)
            router.set_weight(10)
            plan = router.plan(60)
            assert plan is not None
            for change in plan.changes[:position]:
                store.write(change)
            assert self.splits(store) <= {Split(10), Split(60)}
            router.set_weight(60)
            assert self.splits(store) == {Split(60)}

    def test_conflict_is_planned_again(self) -> None:
        """A foreign write between plan and apply is a conflict; the plan is made again and both edits are there."""
        store = self.store()
        router = self.router(store)
        router.set_weight(10)
        touched: list[ObjectRef] = []

        def annotate(manifest: Manifest) -> None:
            manifest["metadata"].setdefault("annotations", {})["example.com/seen"] = "yes"

        def interfere(change: Change) -> None:
            if change.ref not in touched:
                touched.append(change.ref)
                store.edit(change.ref, annotate)

        store.interfere = interfere
        router.set_weight(30)
        assert self.splits(store) == {Split(30)}
        assert sorted(touched, key=str) == sorted(self.targets, key=str)
        assert all(
            "example.com/seen" in store.manifests[ref]["metadata"]["annotations"] for ref in self.targets
        )

    def test_endless_conflict_ends(self) -> None:
        """A conflict that never ends is given up after a bounded number of tries, with the objects as before."""
        store = self.store()
        router = self.router(store)
        router.set_weight(10)
        before = copy.deepcopy(store.manifests)
        store.fail(at=0, times=10_000, error=ConflictError("somebody else is faster"))
        with pytest.raises(ConflictError, match="faster"):
            router.set_weight(30)
        assert store.manifests == before

    def test_dry_run_writes_nothing(self) -> None:
        """A dry run returns the plan and writes nothing."""
        store = self.store()
        result = self.router(store).set_weight(30, dry_run=True)
        assert result.plan is not None
        assert not result.changed
        assert not store.log

    def test_verify_tells_what_is_there(self) -> None:
        """Verify answers MATCHES for what was written and DIFFERS for anything else."""
        store = self.store()
        router = self.router(store)
        router.set_weight(30)
        assert router.verify(30).outcome is Outcome.MATCHES
        assert router.verify(31).outcome is Outcome.DIFFERS

    def test_blue_green_switches_all_traffic(self) -> None:
        """A blue-green route moves everything at once, there and back, and refuses a weight in between."""
        store = self.store()
        router = TrafficRouter(replace(self.rollout(), strategy=Strategy.BLUE_GREEN), store)
        router.switch("canary")
        assert self.splits(store) == {Split(100)}
        router.switch("stable")
        assert self.splits(store) == {Split(0)}
        with pytest.raises(RollwayError, match="blue-green"):
            router.set_weight(50)

    def _managed(self) -> set[ObjectRef]:
        return {need.ref for need in self.written(Access.MANAGED)}
