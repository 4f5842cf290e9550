"""What is left after writes that fail, get lost or meet others, and after a kill."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest

from rollway.routers.errors import (
    ApplyError,
    ConflictError,
    StoreError,
)
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest, ObjectRef
    from rollway.routers.plan import Change
from rollway.routers.testing.contract.subject import Subject


class FailureContract(Subject):
    """What is left after writes that fail, get lost or meet others, and after a kill."""

    def test_failure_at_any_write_is_put_back(self) -> None:
        """When a write fails for good, the objects are as before, or the next call converges."""
        store = self.store()
        router = self.router(store)
        router.set_weight(self.few)
        before = copy.deepcopy(store.manifests)
        for position in range(len(self.targets)):
            store.fail(at=position)
            with pytest.raises((ApplyError, StoreError)):
                router.set_weight(self.more)
            assert store.manifests == before
        store.interfere = lambda _change: None
        router.set_weight(self.more)
        assert self.splits(store) == {Split(self.more)}

    def test_a_lost_answer_is_found_out_by_reading(self) -> None:
        """When the answer to a write gets lost after it was stored, the call still ends at the wish and counts the object."""
        for position in range(len(self.targets)):
            store = self.store()
            router = self.router(store)
            router.set_weight(self.few)
            store.lose(at=position)
            assert set(router.set_weight(self.more).written) == set(self.targets)
            assert self.splits(store) == {Split(self.more)}

    def test_failure_that_cannot_be_put_back_is_told_and_converges(self) -> None:
        """When putting back fails as well, the error names the object, no canary share exceeds both wishes, and the next call converges."""
        for position in range(1, len(self.targets)):
            store = self.store()
            router = self.router(store)
            router.set_weight(self.few)
            store.fail(at=position, times=99)
            with pytest.raises(ApplyError, match="NOT put back"):
                router.set_weight(self.more)
            assert self.splits(store) <= {Split(self.few), Split(self.more)}
            store.interfere = lambda _change: None
            router.set_weight(self.more)
            assert self.splits(store) == {Split(self.more)}

    def test_killed_between_writes_converges(self) -> None:
        """A process that dies after the k-th write leaves shares between the old and the new, and the next call ends at the wish."""
        for position in range(len(self.targets)):
            store = self.store()
            router = self.router(store)
            router.set_weight(self.few)
            plan = router.plan(self.more)
            assert plan is not None
            for change in plan.changes[:position]:
                store.write(change)
            assert self.splits(store) <= {Split(self.few), Split(self.more)}
            router.set_weight(self.more)
            assert self.splits(store) == {Split(self.more)}

    def test_conflict_is_planned_again(self) -> None:
        """A foreign write between plan and apply is a conflict; the plan is made again and both edits are there."""
        store = self.store()
        router = self.router(store)
        router.set_weight(self.few)
        touched: list[ObjectRef] = []

        def annotate(manifest: Manifest) -> None:
            manifest["metadata"].setdefault("annotations", {})["example.com/seen"] = "yes"

        def interfere(change: Change) -> None:
            if change.ref not in touched:
                touched.append(change.ref)
                store.edit(change.ref, annotate)

        store.interfere = interfere
        router.set_weight(self.more)
        assert self.splits(store) == {Split(self.more)}
        assert sorted(touched, key=str) == sorted(self.targets, key=str)
        assert all(
            "example.com/seen" in store.manifests[ref]["metadata"]["annotations"] for ref in self.targets
        )

    def test_endless_conflict_ends(self) -> None:
        """A conflict that never ends is given up after a bounded number of tries, with the objects as before."""
        store = self.store()
        router = self.router(store)
        router.set_weight(self.few)
        before = copy.deepcopy(store.manifests)
        store.fail(at=0, times=10_000, error=ConflictError("somebody else is faster"))
        with pytest.raises(ConflictError, match="faster"):
            router.set_weight(self.more)
        assert store.manifests == before
