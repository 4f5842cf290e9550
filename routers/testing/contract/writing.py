"""What is written and what is left alone, in a store that works."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from rollway.routers.errors import (
    ForeignOwnerError,
    NotFoundError,
    RollwayError,
    UnsupportedError,
)
from rollway.routers.model import Strategy
from rollway.routers.objects import Access
from rollway.routers.ownership import ROLLOUT_ANNOTATION
from rollway.routers.planning import needs_of
from rollway.routers.router import TrafficRouter
from rollway.routers.traffic import Outcome, Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest
from rollway.routers.testing.contract.subject import Subject

WEIGHTS = (0, 1, 5, 50, 99, 100)
AWKWARD = ("no", "1e3", "a: b", "line\nbreak", "{{ x }}", "'\"\\", "é☃")


class WritingContract(Subject):
    """What is written and what is left alone, in a store that works."""

    @pytest.mark.parametrize("weight", WEIGHTS)
    def test_same_wish_twice_changes_nothing(self, weight: int) -> None:
        """After a weight is applied, the plan for it is None and nothing is written."""
        store = self.store()
        router = self.router(store)
        router.set_weight(self.possible(weight))
        writes = len(store.log)
        assert router.plan(self.possible(weight)) is None
        assert not router.set_weight(self.possible(weight)).changed
        assert len(store.log) == writes

    @pytest.mark.parametrize("weight", WEIGHTS)
    def test_only_targets_are_written(self, weight: int) -> None:
        """Every write goes to an object that the backend asked to write; READ objects stay as they are."""
        store = self.store()
        before = copy.deepcopy(store.manifests)
        self.router(store).set_weight(self.possible(weight))
        assert {change.ref for change in store.log} <= set(self.targets)
        assert all(
            store.manifests[ref] == manifest for ref, manifest in before.items() if ref not in self.targets
        )

    @pytest.mark.parametrize("weight", [1, 50, 99])
    def test_a_share_that_cannot_be_given_is_refused(self, weight: int) -> None:
        """A weight that shares the traffic is written, or refused before anything is, where nothing can be shared."""
        store, want = self.store(), Traffic(Split(weight))
        if self.partial_weights:
            self.router(store).set_traffic(want)
            assert self.splits(store) == {want.split}
            return
        with pytest.raises(UnsupportedError, match="weights other than 0 and 100"):
            self.router(store).set_traffic(want)
        assert not store.log

    def test_foreign_content_survives(self) -> None:
        """Annotations, labels and fields that somebody else added to our objects stay through every change."""
        store = self.store()
        router = self.router(store)
        router.set_weight(self.few)

        def add(manifest: Manifest) -> None:
            manifest["metadata"].setdefault("annotations", {})["example.com/note"] = "keep: me"
            manifest["metadata"].setdefault("labels", {})["team"] = "web"
            manifest["metadata"]["finalizers"] = ["example.com/wait"]
            if self.keeps_unknown_fields:
                manifest["spec"]["foreign"] = {"list": [1, None, True]}

        for ref in self.targets:
            store.edit(ref, add)
        for weight in (50, 0, 100):
            router.set_weight(self.possible(weight))
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
        router.set_weight(self.few)

        def annotate(manifest: Manifest) -> None:
            manifest["metadata"].setdefault("annotations", {})["example.com/awkward"] = text

        for ref in self.targets:
            store.edit(ref, annotate)
        router.set_weight(self.more)
        assert {
            store.manifests[ref]["metadata"]["annotations"]["example.com/awkward"] for ref in self.targets
        } == {text}

    def test_foreign_managed_object_is_refused(self) -> None:
        """An object of ours by name that belongs to somebody else is refused, and nothing is written."""
        for need in self.written(Access.MANAGED):
            store = self.store()
            self.router(store).set_weight(self.few)

            def take(manifest: Manifest) -> None:
                manifest["metadata"]["annotations"][ROLLOUT_ANNOTATION] = "another"

            store.edit(need.ref, take)
            before, writes = copy.deepcopy(store.manifests), len(store.log)
            with pytest.raises(ForeignOwnerError, match=need.name):
                self.router(store).set_weight(self.more)
            with pytest.raises(ForeignOwnerError):
                self.router(store).reset()
            assert (store.manifests, len(store.log)) == (before, writes)
            self.router(store).set_weight(self.more, adopt=True)
            assert self.splits(store) == {Split(self.more)}

    def test_missing_input_is_named(self) -> None:
        """Each required object that is missing is named, and nothing is written."""
        for need in needs_of(self.rollout()):
            if need.required and need.name:
                store = self.store()
                store.remove(need.ref)
                with pytest.raises(NotFoundError, match=need.name):
                    self.router(store).set_weight(self.more)
                assert not store.log

    def test_reset_leaves_the_objects_as_at_the_start(self) -> None:
        """After weights came and went, reset leaves no object of ours and the user's objects as they were."""
        store = self.store()
        router = self.router(store)
        router.set_weight(0)
        start = {
            ref: manifest
            for ref, manifest in copy.deepcopy(store.manifests).items()
            if ref not in self.managed
        }
        for weight in (20, 70):
            router.set_weight(self.possible(weight))
        router.reset()
        assert store.manifests == start
        writes = len(store.log)
        assert router.reset() == []
        assert len(store.log) == writes

    def test_dry_run_writes_nothing(self) -> None:
        """A dry run returns the plan and writes nothing."""
        store = self.store()
        result = self.router(store).set_weight(self.more, dry_run=True)
        assert result.plan is not None
        assert not result.changed
        assert not store.log

    def test_verify_tells_what_is_there(self) -> None:
        """Verify answers MATCHES for what was written and DIFFERS for anything else."""
        store = self.store()
        router = self.router(store)
        router.set_weight(self.more)
        assert router.verify(self.more).outcome is Outcome.MATCHES
        assert router.verify(self.few).outcome is Outcome.DIFFERS

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
