"""Applying a plan: lost answers, conflicts, what is put back, and what a retry still knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import manifests as m
from rollway.routers.errors import (
    ApplyError,
    ConflictError,
    StoreError,
    UncertainError,
    UnreachableError,
)
from rollway.routers.objects import ObjectRef
from rollway.routers.plan import Action
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.testing import MemoryStore
from rollway.routers.traffic import Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from rollway.routers.plan import Change

NGINX = {"nginx": {"stableIngress": "web"}}
ISTIO = {"istio": {"virtualService": {"name": "web"}}}
BOTH = {**NGINX, **ISTIO}
CANARY = ObjectRef("networking.k8s.io", "Ingress", "default", "shop-web-canary")
VIRTUAL_SERVICE = ObjectRef("networking.istio.io", "VirtualService", "default", "web")


def store() -> MemoryStore:
    """Return a store with what two backends need."""
    services = [m.service("shop-stable"), m.service("shop-canary")]
    return MemoryStore([m.ingress(), m.virtual_service(), *services])


def router(memory: MemoryStore, routing: Any = BOTH) -> TrafficRouter:
    """Return a router over it."""
    return TrafficRouter(parse_rollout(m.rollout(routing)), memory)


def annotate(memory: MemoryStore, ref: ObjectRef) -> None:
    """Add an annotation, as a foreign writer would."""
    memory.edit(
        ref, lambda manifest: manifest["metadata"].setdefault("annotations", {}).update(note="theirs")
    )


def without_note(memory: MemoryStore) -> dict[ObjectRef, Any]:
    """Return every object without that annotation."""
    manifests = memory.manifests
    for manifest in manifests.values():
        annotations = manifest["metadata"].get("annotations", {})
        annotations.pop("note", None)
        if not annotations:
            manifest["metadata"].pop("annotations", None)
    return manifests


# -- lost answers


@pytest.mark.parametrize("routing", [NGINX, ISTIO, BOTH])
@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("before", [None, 10])
def test_a_lost_answer_is_found_out_by_reading(routing: Any, stored: bool, before: int | None) -> None:
    """Whether or not the write was stored, the call ends at the weight and reports the object as written."""
    memory = store()
    found = router(memory, routing)
    if before is not None:
        found.set_weight(before)
    if stored:
        memory.lose(at=0)
    else:
        memory.fail(at=0, error=UncertainError("the answer got lost"))
    result = found.set_weight(60)
    assert result.changed
    assert result.written == tuple(dict.fromkeys(change.ref for change in memory.log[-len(result.written) :]))
    assert found.observe().traffic == Traffic(Split(60))


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("conflict", [True, False])
@pytest.mark.parametrize("before", [None, 10])
def test_a_failure_after_a_lost_answer_puts_everything_back(
    stored: bool, conflict: bool, before: int | None
) -> None:
    """The canary Ingress is stored and its answer lost, Istio fails for good, with a conflict or without: both are as before."""
    memory = store()
    found = router(memory)
    if before is not None:
        found.set_weight(before)
    start, first = memory.manifests, len(memory.log)

    def interfere(change: Change) -> None:
        number = len(memory.log) - 1 - first
        if number == 0 and not stored:
            raise UncertainError("the answer got lost")
        if change.ref == VIRTUAL_SERVICE:
            if conflict and number < 3:
                annotate(memory, CANARY)
                raise ConflictError("somebody was faster")
            raise StoreError("the disk is on fire")

    memory.interfere = interfere
    if stored:
        memory.lose(at=0)
    with pytest.raises(ApplyError, match="put back: Ingress default/shop-web-canary") as caught:
        found.set_weight(60)
    assert "nothing is left half done" in str(caught.value)
    assert without_note(memory) == start


@pytest.mark.parametrize("stored", [True, False])
def test_an_answer_that_is_lost_for_good_is_told_exactly(stored: bool) -> None:
    """When every answer gets lost, a last read still shows what is stored, and that is put back."""
    memory = store()
    found = router(memory, ISTIO)
    start = memory.manifests
    if stored:
        # Each attempt is stored and overwritten by somebody, so that planning goes on to the end.
        def answer(change: Change) -> None:
            if len(memory.log) < 6:
                memory.put(m.virtual_service())
            raise UncertainError(f"{change.ref}: lost {len(memory.log)}")

        memory.answer = answer
    else:
        memory.fail(at=0, error=UncertainError("lost"), times=6)
    with pytest.raises(ApplyError) as caught:
        found.set_weight(60)
    assert caught.value.retryable
    state = "put back" if stored else "not written, as a fresh read shows"
    assert f"{state}: VirtualService default/web" in str(caught.value)
    assert memory.manifests == start


def test_what_cannot_be_found_out_is_told_as_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the store cannot be read after a lost answer either, the error names the object as not known."""
    memory = store()
    found = router(memory, ISTIO)
    memory.lose(at=0)
    read = memory.read

    def unreadable(needs: Any) -> Any:
        if memory.log:
            raise UnreachableError("gone")
        return read(needs)

    monkeypatch.setattr(memory, "read", unreadable)
    with pytest.raises(
        ApplyError, match="NOT known whether it was written: VirtualService default/web"
    ) as caught:
        found.set_weight(60)
    assert "run the same command again" in str(caught.value)


def test_an_interrupt_after_the_write_was_stored_is_put_back() -> None:
    """Ctrl-C while waiting for an answer: what was stored is found by reading and put back."""
    memory = store()
    start = memory.manifests
    memory.lose(at=0, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        router(memory).set_weight(60)
    assert memory.manifests == start


@pytest.mark.parametrize("moved", [True, False])
def test_a_lost_answer_to_a_reviewed_plan(moved: bool) -> None:
    """With a fingerprint the rest of the reviewed plan is written, and refused if an object moved meanwhile."""
    memory = store()
    found = router(memory)
    start = memory.manifests
    plan = found.plan(60)
    assert plan is not None

    def answer(_change: Change) -> None:
        memory.answer = lambda _change: None
        if moved:
            annotate(memory, VIRTUAL_SERVICE)
        raise UncertainError("lost")

    memory.answer = answer
    if moved:
        with pytest.raises(ApplyError, match="changed after the plan was reviewed"):
            found.apply(plan, expect=plan.fingerprint)
        assert without_note(memory) == start
    else:
        assert len(found.apply(plan, expect=plan.fingerprint).written) == 2


# -- putting back


def test_a_foreign_edit_does_not_stop_putting_back() -> None:
    """An object of ours that somebody annotated since is put back all the same, and keeps the annotation."""
    memory = store()
    found = router(memory)
    found.set_weight(10)

    def interfere(change: Change) -> None:
        if change.ref == VIRTUAL_SERVICE:
            annotate(memory, CANARY)
            raise StoreError("the disk is on fire")

    memory.interfere = interfere
    with pytest.raises(ApplyError, match="nothing is left half done"):
        found.set_weight(60)
    assert memory.manifests[CANARY]["metadata"]["annotations"]["note"] == "theirs"
    assert found.observe().traffic == Traffic(Split(10))


def test_a_foreign_edit_between_reading_and_writing_stays() -> None:
    """What somebody else added to a shared object just before our patch is not taken for ours when that is put back."""
    memory = store()
    found = router(memory, {**ISTIO, "smi": {}})

    def interfere(change: Change) -> None:
        if change.ref != VIRTUAL_SERVICE:
            raise StoreError("the disk is on fire")
        if change.patch[-1]["value"] == 60:
            annotate(memory, VIRTUAL_SERVICE)

    memory.interfere = interfere
    with pytest.raises(ApplyError, match="nothing is left half done"):
        found.set_weight(60)
    assert memory.manifests[VIRTUAL_SERVICE]["metadata"]["annotations"] == {"note": "theirs"}
    assert without_note(memory)[VIRTUAL_SERVICE] == m.virtual_service()


def test_a_weight_of_somebody_else_is_not_put_back() -> None:
    """Where another call has set its own weight since, putting back leaves that."""
    memory = store()
    found = router(memory)
    found.set_weight(10)

    def interfere(change: Change) -> None:
        if change.ref == VIRTUAL_SERVICE:
            memory.interfere = lambda _change: None
            router(memory, NGINX).set_weight(30)
            raise StoreError("the disk is on fire")

    memory.interfere = interfere
    with pytest.raises(ApplyError):
        found.set_weight(60)
    assert router(memory, NGINX).observe().traffic == Traffic(Split(30))


# -- what a retry knows


def test_a_retry_still_creates() -> None:
    """The canary Ingress is deleted between plan and write: it is created again."""
    memory = store()
    found = router(memory, NGINX)
    found.set_weight(10)

    def interfere(change: Change) -> None:
        if change.action is Action.APPLY:
            memory.interfere = lambda _change: None
            memory.remove(CANARY)

    memory.interfere = interfere
    assert found.set_weight(30).changed
    assert found.observe().traffic == Traffic(Split(30))


def test_a_retry_of_reset_creates_nothing() -> None:
    """Reset sends all to stable; an object that goes away meanwhile stays away."""
    memory = store()
    found = router(memory, NGINX)
    found.set_weight(10)

    def interfere(change: Change) -> None:
        if change.action is Action.APPLY:
            memory.interfere = lambda _change: None
            memory.remove(CANARY)

    memory.interfere = interfere
    found.reset()
    assert CANARY not in memory.manifests


def test_foreign_edits_do_not_change_a_plan() -> None:
    """What a plan was made from stays as it was read, whatever happens in the store."""
    memory = store()
    found = router(memory, ISTIO)
    plan = found.plan(60)
    assert plan is not None
    memory.edit(VIRTUAL_SERVICE, lambda manifest: manifest["spec"].clear())
    assert plan.changes[0].before == m.virtual_service()
    assert plan.observed[VIRTUAL_SERVICE].manifest == m.virtual_service()
