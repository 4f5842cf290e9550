"""Planning, applying, verifying and the facade: guards, fingerprints, retries, compensation, verification, reset."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import manifests as m
from rollway import routers
from rollway.routers import backends
from rollway.routers.applying import Result
from rollway.routers.errors import (
    AmbiguousError,
    ApplyError,
    ConflictError,
    ForeignOwnerError,
    NotFoundError,
    NotVerifiedError,
    RefusedError,
    RollwayError,
    StalePlanError,
    UnsupportedError,
    WeightError,
)
from rollway.routers.findings import Finding
from rollway.routers.guards import Limits
from rollway.routers.lookup import read_rollout, read_rollouts
from rollway.routers.objects import LiveObject, Need, ObjectRef, duplicate
from rollway.routers.plan import Action, Change
from rollway.routers.planning import needs_of
from rollway.routers.ramp import Ramp
from rollway.routers.removing import propose_removal
from rollway.routers.rollout import parse_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.testing import MemoryStore
from rollway.routers.traffic import (
    Evidence,
    HeaderRoute,
    MirrorRoute,
    Outcome,
    RequestMatch,
    StringMatch,
    Traffic,
)
from rollway.routers.verifying import Verifier
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Callable

ISTIO = {"istio": {"virtualService": {"name": "web"}}}
NGINX = {"nginx": {"stableIngress": "web"}}
ALL = {**NGINX, **ISTIO, "smi": {}}


def store(*more: Any) -> MemoryStore:
    """Return a store with everything that three backends need."""
    return MemoryStore(
        [m.ingress(), m.virtual_service(), m.service("shop-stable"), m.service("shop-canary"), *more]
    )


def router(routing: Any = ALL, *more: Any, limits: Limits | None = None) -> TrafficRouter:
    """Return a router over such a store."""
    return TrafficRouter(parse_rollout(m.rollout(routing)), store(*more), limits or Limits())


# -- guards


def refused(limits: Limits, weight: int | str = 60, routing: Any = ALL) -> tuple[str, ...]:
    """Return the lines why a weight is refused, and check that nothing was written."""
    found = router(routing, limits=limits)
    with pytest.raises(RefusedError) as caught:
        found.set_weight(weight)
    assert isinstance(found.store, MemoryStore)
    assert not found.store.log
    reasons, (_, *lines) = caught.value.reasons, caught.value.message.split("\n  ")
    assert all(isinstance(reason, Finding) for reason in reasons)
    assert len(lines) == len(reasons)
    return tuple(lines)


@pytest.mark.parametrize(
    ("limits", "weight", "reason"),
    [
        (Limits(max_step=25), 60, "the step is 60 of 100, over the limit of 25 (--max-step 60)"),
        (Limits(max_step="1/4"), 60, "over the limit of 25"),
        (
            Limits(keep_stable=True),
            100,
            "stable would get 0, and the limit is at least 1 (leave out --keep-stable)",
        ),
        (
            Limits(create=False),
            60,
            "2 to create (Ingress default/shop-web-canary, TrafficSplit default/shop), and the limit is 0 (leave out --no-create)",
        ),
    ],
)
def test_each_limit_tells_number_limit_and_flag(limits: Limits, weight: int, reason: str) -> None:
    """The error about a limit has the number, the limit, and the flag that lifts it."""
    assert any(reason in line for line in refused(limits, weight))


def test_all_reasons_come_at_once() -> None:
    """Every broken limit and every refusal of a data plane is in one error."""
    limits = Limits(max_step=1, keep_stable=True, create=False)
    found = TrafficRouter(
        parse_rollout(m.rollout(ALL)), store(m.ingress("old", "shop.example.com", m.path("legacy"))), limits
    )
    with pytest.raises(RefusedError) as caught:
        found.set_weight(100)
    codes = [reason.code for reason in caught.value.reasons if isinstance(reason, Finding)]
    assert codes == ["over-max-step", "stable-not-kept", "creation-off", "nginx-path-taken"]
    assert "(--allow nginx-path-taken)" in str(caught.value)
    # A limit that is given by an option can be lifted by its code as well.
    allowed = frozenset(codes)
    assert replace(found, limits=limits._replace(allow=allowed)).set_weight(100).changed


def test_limits_are_off_unless_asked_for() -> None:
    """Without limits any step, creation and deletion goes through; within them as well."""
    found = router()
    assert found.set_weight(100).changed
    assert len(found.reset()) == 2
    assert router(limits=Limits(max_step=20, keep_stable=True)).set_weight(20).changed


def test_no_delete_stops_reset_before_deletions() -> None:
    """With deletions off, reset sends all to stable and then refuses to delete."""
    found = router()
    found.set_weight(20)
    with pytest.raises(RefusedError, match="2 to delete"):
        replace(found, limits=Limits(delete=False)).reset()
    assert found.observe().traffic == Traffic(Split(0))


def test_removal_is_planned_for_own_objects_only() -> None:
    """The deletion of managed objects is refused for those of others, unless they are adopted."""
    found = router(NGINX, m.ingress("shop-web-canary"))
    live = found.store.read(needs_of(found.rollout))
    with pytest.raises(ForeignOwnerError):
        propose_removal(found.rollout, live)
    assert propose_removal(found.rollout, live, adopt=True).plan is not None


def test_an_allowed_refusal_becomes_a_note() -> None:
    """A refusal whose code is allowed becomes a note, and the write happens."""
    found = router(
        NGINX,
        m.ingress("old", "shop.example.com", m.path("legacy")),
        limits=Limits(allow=frozenset({"nginx-path-taken"})),
    )
    result = found.set_weight(10)
    assert result.changed
    assert "nginx-path-taken" in {finding.code for finding in result.findings}


def test_what_does_not_work_is_refused_even_without_a_change() -> None:
    """When the objects have the weight already and the data plane ignores it, this is an error and not `nothing to do`."""
    found = router(NGINX)
    found.set_weight(10)
    assert isinstance(found.store, MemoryStore)
    found.store.put(m.ingress("old", "shop.example.com", m.path("legacy")))
    with pytest.raises(RefusedError, match="yet it does not work"):
        found.set_weight(10)
    verdict = found.verify(10)
    assert verdict.outcome is Outcome.UNKNOWN
    assert "served by Ingress default/old" in verdict.reason


def moving(phase: str = "Paused", step: int | None = 1, steps: int = 3) -> Any:
    """Return a Rollout that a controller has at a step."""
    manifest = m.rollout(ALL, steps=[{"setWeight": 10 * number} for number in range(steps)])
    manifest["status"] = {"phase": phase, **({} if step is None else {"currentStepIndex": step})}
    return manifest


def test_a_rollout_that_a_controller_moves_is_refused() -> None:
    """Weights, switches, ramps and resets by hand are refused with the step that it is at, unless that is allowed."""
    found = TrafficRouter(parse_rollout(moving()), store())
    memory = found.store
    assert isinstance(memory, MemoryStore)
    calls: list[Callable[[], object]] = [
        lambda: found.set_weight(20),
        lambda: found.switch("canary"),
        lambda: Ramp(found, 0).advance(20),
    ]
    for call in calls:
        with pytest.raises(RefusedError, match=r"Paused, step 2 of 3.*controller-in-charge"):
            call()
    assert not memory.log
    assert "controller-in-charge" in {finding.code for finding in found.check()}
    plan = found.plan(20)
    assert plan is not None
    assert [finding.code for finding in plan.refusals] == ["controller-in-charge"]
    allowed = replace(found, limits=Limits(allow=frozenset({"controller-in-charge"})))
    assert allowed.set_weight(20).changed
    assert found.verify(20).outcome is Outcome.MATCHES
    assert not found.set_weight(20).changed
    with pytest.raises(RefusedError, match="controller-in-charge"):
        found.reset()
    assert found.observe().traffic == Traffic(Split(20))
    allowed.reset()
    allowed.set_weight(0)
    with pytest.raises(RefusedError, match="controller-in-charge"):
        found.reset()


@pytest.mark.parametrize(
    ("phase", "step"), [("Healthy", 1), ("Paused", 3), ("Degraded", 0), ("Paused", None), ("", 1)]
)
def test_a_rollout_at_rest_is_not_refused(phase: str, step: int | None) -> None:
    """A Rollout whose steps are all done, or that was aborted, belongs to nobody else."""
    assert TrafficRouter(parse_rollout(moving(phase, step)), store()).set_weight(20).changed


# -- taking over


@pytest.mark.parametrize("routing", [NGINX, {"smi": {}}, ALL])
def test_reset_gives_back_what_was_taken_over(routing: Any) -> None:
    """An object of the user's own is as it was after taking it over, weights and a reset, instead of gone."""
    notes = {"metadata": {"annotations": {"nginx.ingress.kubernetes.io/canary": "true", "note": "mine"}}}
    own = m.ingress("shop-web-canary", "shop.example.com", m.path("mine"), **notes)
    split = m.traffic_split("v1alpha1", shop_stable="700m", shop_canary="300m")
    found = router(routing, own, split)
    memory = found.store
    assert isinstance(memory, MemoryStore)
    before = {ref: manifest for ref, manifest in memory.manifests.items() if ref.kind != "VirtualService"}
    found.set_weight(20, adopt=True)
    found.set_weight(70)
    assert found.observe().traffic == Traffic(Split(70))
    results = found.reset()
    after = memory.manifests
    assert {ref: after[ref] for ref in before} == before
    assert "given-back" in {finding.code for finding in results[-1].findings}
    assert found.rollout.name not in str(
        after[ObjectRef("networking.k8s.io", "Ingress", "default", "shop-web-canary")]["metadata"].get(
            "annotations"
        )
    )


def test_a_conflict_while_giving_back_goes_on() -> None:
    """An object that was given back already is left alone when the rest of the removal is planned again."""
    found = router(ALL, m.ingress("shop-web-canary"))
    memory = found.store
    assert isinstance(memory, MemoryStore)
    own = m.ingress("shop-web-canary")
    found.set_weight(20, adopt=True)

    def interfere(change: Change) -> None:
        if change.action is Action.DELETE:
            memory.interfere = lambda _change: None
            raise ConflictError("somebody was faster")

    memory.interfere = interfere
    found.reset()
    refs = {ref.kind: ref for ref in memory.manifests if ref.name != "web"}
    assert memory.manifests[refs["Ingress"]] == own
    assert "TrafficSplit" not in refs


# -- fingerprints


def test_expect_applies_exactly_the_reviewed_plan() -> None:
    """With the plan's own fingerprint it is applied, and once more there is nothing to do; another plan is refused."""
    found = router()
    plan = found.plan(20)
    assert plan is not None
    assert found.set_weight(20, expect=plan.fingerprint).changed
    assert not found.set_weight(20, expect=plan.fingerprint).changed
    with pytest.raises(StalePlanError, match="look at `rollway plan` again"):
        found.set_weight(30, expect=plan.fingerprint)


def test_expect_refuses_a_conflict() -> None:
    """A conflict during the write of a reviewed plan is refused and put back, not planned again."""
    found = router(ISTIO)
    memory = found.store
    assert isinstance(memory, MemoryStore)
    plan = found.plan(20)
    assert plan is not None
    memory.fail(at=0, error=ConflictError("somebody was here"))
    with pytest.raises(StalePlanError, match="somebody was here after it was reviewed"):
        found.apply(plan, expect=plan.fingerprint)
    assert len(memory.log) == 1


def test_whole_kind_reads_do_not_move_the_fingerprint() -> None:
    """An unrelated Ingress elsewhere changes nothing of the plan, so its fingerprint stays."""
    found = router(NGINX)
    first = found.plan(20)
    assert isinstance(found.store, MemoryStore)
    found.store.put(m.ingress("other", "other.example.com", m.path("other")))
    second = found.plan(20)
    assert first is not None
    assert second is not None
    assert first.fingerprint == second.fingerprint


# -- failures


def test_an_error_tells_the_exact_state() -> None:
    """After a failure the error names what was put back, or what was not."""
    found = router()
    found.set_weight(10)
    memory = found.store
    assert isinstance(memory, MemoryStore)
    memory.fail(at=2)
    with pytest.raises(ApplyError) as caught:
        found.set_weight(60)
    assert "the disk is on fire" in str(caught.value)
    assert "put back: VirtualService default/web, Ingress default/shop-web-canary" in str(caught.value)
    assert "nothing is left half done" in str(caught.value)
    memory.fail(at=2, times=2)
    with pytest.raises(
        ApplyError, match="NOT put back, still as this plan wrote it: VirtualService default/web"
    ) as caught:
        found.set_weight(60)
    assert "put back: Ingress default/shop-web-canary" in str(caught.value)


def test_an_interrupt_is_put_back_and_goes_on() -> None:
    """Ctrl-C in the middle of a plan puts back what was written and stays an interrupt."""
    found = router()
    memory = found.store
    assert isinstance(memory, MemoryStore)
    before = dict(memory.manifests)
    memory.fail(at=1, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        found.set_weight(60)
    assert memory.manifests == before


def test_a_failure_after_a_conflict_is_put_back_to_the_start() -> None:
    """When the second try after a conflict fails for good, also what the first try wrote is put back."""
    found = router()
    found.set_weight(10)
    memory = found.store
    assert isinstance(memory, MemoryStore)
    before = dict(memory.manifests)
    seen: list[Change] = []

    def interfere(change: Change) -> None:
        seen.append(change)
        if len(seen) == 2:
            raise ConflictError("too late")
        if len(seen) == 3:
            raise RollwayError("and now the disk")

    memory.interfere = interfere
    with pytest.raises(ApplyError, match="and now the disk"):
        found.set_weight(60)
    assert memory.manifests == before


def test_a_conflict_of_reset_is_planned_again() -> None:
    """A foreign edit during the deletion of our objects is no reason to stop."""
    found = router()
    found.set_weight(10)
    memory = found.store
    assert isinstance(memory, MemoryStore)
    seen: list[ObjectRef] = []

    def interfere(change: Change) -> None:
        if change.action is Action.DELETE and change.ref not in seen:
            seen.append(change.ref)
            memory.edit(change.ref, lambda manifest: manifest["metadata"]["labels"].update(x="y"))

    memory.interfere = interfere
    found.reset()
    assert len(seen) == 2
    assert not any(ref in memory.manifests for ref in seen)


@pytest.mark.parametrize("ours", [True, False])
def test_a_creation_that_somebody_was_faster_with_is_planned_again(ours: bool) -> None:
    """Argo TestReconcileCanaryCreateErrorAlreadyExistsPatch: an object made in between is updated if ours, else refused."""
    found = router(NGINX)
    memory = found.store
    assert isinstance(memory, MemoryStore)

    def interfere(change: Change) -> None:
        memory.interfere = lambda _change: None
        assert change.after is not None
        made = m.ingress("shop-web-canary", "shop.example.com", m.path("shop-canary"))
        if ours:
            made["metadata"] = duplicate(change.after["metadata"])
            made["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"] = "5"
        memory.put(made)

    memory.interfere = interfere
    if ours:
        assert found.set_weight(20).changed
        assert found.observe().traffic == Traffic(Split(20))
    else:
        with pytest.raises(ForeignOwnerError):
            found.set_weight(20)
        assert not any("annotations" in made["metadata"] for made in memory.manifests.values())


def test_a_conflict_that_leaves_nothing_to_do_is_done() -> None:
    """When somebody else wrote the same weight in between, the second plan is None and the call succeeds."""
    found = router(ISTIO)
    memory = found.store
    assert isinstance(memory, MemoryStore)
    other = TrafficRouter(found.rollout, memory)

    def interfere(_change: Change) -> None:
        memory.interfere = lambda _change: None
        other.set_weight(20)

    memory.interfere = interfere
    assert found.set_weight(20).verdict is not None


# -- verification


def test_levels_that_the_store_cannot_show_are_refused() -> None:
    """Asking for more evidence than the store has is refused, with the highest that it has."""
    found = router()
    with pytest.raises(UnsupportedError, match="the highest here is 'written'"):
        found.verify(0, Evidence.LOADED)


def test_set_weight_that_is_stored_otherwise_is_not_verified() -> None:
    """When the store answers another weight than was written (a mutating webhook, for example), the call fails."""
    found = router(ISTIO)
    memory = found.store
    assert isinstance(memory, MemoryStore)
    real = memory.write

    def write(change: Change, *, dry_run: bool = False) -> LiveObject | None:
        real(change, dry_run=dry_run)
        memory.put(m.virtual_service())
        return memory.read([Need(change.ref.group, change.ref.kind)])[change.ref]

    memory.write = write  # type: ignore[method-assign]
    with pytest.raises(NotVerifiedError, match="not as asked: VirtualService default/web"):
        found.set_weight(20)
    with pytest.raises(NotVerifiedError):
        TrafficRouter(found.rollout, memory).set_weight(20)


def test_reset_deletes_nothing_unless_all_goes_to_stable() -> None:
    """Reset checks that the traffic went to stable before it deletes anything."""
    found = router()
    found.set_weight(20)
    memory = found.store
    assert isinstance(memory, MemoryStore)
    real = memory.write

    def write(change: Change, *, dry_run: bool = False) -> LiveObject | None:
        stored = real(change, dry_run=dry_run)
        if change.ref.kind == "VirtualService":
            http = [{"route": [m.destination("shop-stable", 50), m.destination("shop-canary", 50)]}]
            memory.put(m.virtual_service(http=http))
            return memory.read([Need(change.ref.group, change.ref.kind)])[change.ref]
        return stored

    memory.write = write  # type: ignore[method-assign]
    with pytest.raises(NotVerifiedError, match="nothing was deleted"):
        found.reset()
    assert {ref.kind for ref in memory.manifests} >= {"TrafficSplit"}


def test_verify_without_a_wish_asks_whether_all_agree() -> None:
    """Without a weight, objects that agree match, and objects that do not differ."""
    found = router()
    found.set_weight(20)
    assert found.verify().outcome is Outcome.MATCHES
    assert isinstance(found.store, MemoryStore)
    found.store.put(m.virtual_service())
    assert found.observe().traffic is None
    assert found.verify().outcome is Outcome.DIFFERS
    assert found.check() == ()


def test_verify_is_unknown_where_the_share_cannot_be_made() -> None:
    """A route in which the pair has no traffic cannot carry a weight."""
    http = [
        {"route": [m.destination("shop-stable", 0), m.destination("shop-canary", 0), m.destination("x", 9)]}
    ]
    found = TrafficRouter(parse_rollout(m.rollout(ISTIO)), MemoryStore([m.virtual_service(http=http)]))
    assert found.verify(10).outcome is Outcome.UNKNOWN


def test_render_shows_the_stamped_objects() -> None:
    """Render returns every object that a weight wants and writes nothing."""
    found = router()
    kinds = [manifest["kind"] for manifest in found.render(20)]
    assert kinds == ["Ingress", "VirtualService", "TrafficSplit"]
    assert isinstance(found.store, MemoryStore)
    assert not found.store.log


# -- the facade


def test_switch_takes_two_words() -> None:
    """Anything but stable and canary is an error of the caller."""
    with pytest.raises(ValueError, match="give 'stable' or 'canary'"):
        router().switch("blue")


def test_header_and_mirror_routes_are_refused_by_name() -> None:
    """A feature that no backend of the Rollout has is refused before anything is written."""
    found = router()
    beta = HeaderRoute("beta", (RequestMatch((("x", StringMatch("exact", "1")),)),))
    with pytest.raises(UnsupportedError, match="smi cannot do a weight beside header routes") as caught:
        found.set_traffic(Traffic(Split(20), (beta,)))
    assert "backends that can: nginx, istio, gateway" in str(caught.value)
    with pytest.raises(UnsupportedError, match="backends that can: istio, gateway"):
        found.set_mirror_route(MirrorRoute("copy"))
    found.set_weight(20)
    assert not found.remove_managed_routes().changed
    assert found.observe().traffic == Traffic(Split(20))


def test_a_wish_of_another_total_is_refused() -> None:
    """A Traffic counts out of the route's own total."""
    with pytest.raises(WeightError, match="counts out of 1000"):
        router().set_traffic(Traffic(Split(5, 1000)))


def test_rollouts_are_read_by_name() -> None:
    """A Rollout is found by name, alone or with its namespace; several and none are errors."""
    other = m.rollout(NGINX)
    other["metadata"]["namespace"] = "prod"
    memory = store(m.rollout(NGINX), other)
    assert read_rollout(memory, "shop", "prod").namespace == "prod"
    with pytest.raises(AmbiguousError, match="namespaces default, prod"):
        read_rollout(memory, "shop")
    with pytest.raises(NotFoundError):
        read_rollout(memory, "cart")
    broken = m.rollout({"alb": {}}, name="a")
    found = read_rollouts(store(m.rollout(NGINX), broken))
    assert [type(rollout).__name__ for _, rollout in found] == ["UnsupportedError", "Rollout"]


def test_a_backend_that_renders_what_it_did_not_ask_for_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object outside the needs of its backend is never written."""
    rogue = backends.backend("smi")
    monkeypatch.setattr(type(rogue), "render", lambda *_: [m.service("rogue")])
    with pytest.raises(RollwayError, match="did not ask to write"):
        router({"smi": {}}).set_weight(10)


def test_the_strongest_access_to_an_object_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """When one need reads what another shares, the object is shared once."""
    part = backends.backend("istio")
    real = part.needs

    def needs(self: Any, rollout: Any) -> Any:
        return [*real(rollout), *(need._replace(fields=()) for need in real(rollout))]

    monkeypatch.setattr(type(part), "needs", needs)
    found = parse_rollout(m.rollout(ISTIO))
    assert len(needs_of(found)) == 4


def test_a_rollout_is_asked_once_for_its_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the same Rollout is changed, its backends name their needs once; a copy of it has needs of its own."""
    part = backends.backend("istio")
    real, asked = part.needs, []

    def needs(_self: Any, rollout: Any) -> Any:
        asked.append(rollout.namespace)
        return real(rollout)

    monkeypatch.setattr(type(part), "needs", needs)
    found = router(ISTIO)
    found.set_weight(20)
    found.set_weight(30)
    assert asked == ["default"]
    moved = replace(found.rollout, namespace="other")
    assert {need.namespace for need in needs_of(moved) if need.kind == "Service"} == {"other"}


def test_public_names_are_importable() -> None:
    """Every public name is there, and nothing else pretends to be."""
    assert all(getattr(routers, name) for name in routers.__all__)
    with pytest.raises(AttributeError):
        routers.Nothing  # noqa: B018


def test_whatever_a_caller_gets_or_gives_is_public() -> None:
    """Every type in the signatures of the facade and of the stores can be imported from `rollway.routers`."""
    used: set[str] = set()
    for owner in (TrafficRouter, routers.Store, routers.DirectoryStore, routers.WatchingStore):
        for name, method in vars(owner).items():
            if callable(method) and not name.startswith("_"):
                used.update(
                    *(re.findall(r"\b[A-Z]\w+", str(hint)) for hint in method.__annotations__.values())
                )
    assert used - set(routers.__all__) <= {
        "None",
        "AbstractContextManager",
        "Iterator",
        "Sequence",
        "Mapping",
        "Callable",
        "Unpack",
        "Literal",
        "False",
    }


def test_many_threads_move_many_rollouts() -> None:
    """Routers of different Rollouts in one store work at the same time."""
    names = [f"r{number}" for number in range(6)]
    http = [
        {"name": name, "route": [m.destination(f"{name}-s", 100), m.destination(f"{name}-c", 0)]}
        for name in names
    ]
    memory = MemoryStore([m.virtual_service(http=http)])
    routing = {name: {"istio": {"virtualService": {"name": "web", "routes": [name]}}} for name in names}
    found = {
        name: TrafficRouter(
            parse_rollout(m.rollout(routing[name], stableService=f"{name}-s", canaryService=f"{name}-c")),
            memory,
        )
        for name in names
    }

    def work(name: str) -> None:
        for weight in range(1, 21):
            found[name].set_weight(weight)

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {found[name].observe().traffic for name in names} == {Traffic(Split(20))}


def test_results_of_dry_runs_are_not_verified() -> None:
    """A dry run has no verdict; verifying leaves its result alone."""
    verifier = Verifier(store())
    result = Result(parse_rollout(m.rollout(ALL)), Traffic(Split(0)), dry_run=True)
    assert verifier.confirm(result) is result


def test_a_memory_store_behaves() -> None:
    """The store in memory refuses to create twice, to change what is gone, and to patch what moved."""
    memory = MemoryStore([m.service("a")])
    ref = ObjectRef("", "Service", "default", "a")
    with pytest.raises(ConflictError, match="exists already"):
        memory.write(Change(Action.CREATE, ref, None, m.service("a")))
    with pytest.raises(ConflictError, match="is gone"):
        memory.write(Change(Action.APPLY, ref._replace(name="b"), None, m.service("b")))
    with pytest.raises(ConflictError, match="relies on it"):
        memory.write(
            Change(Action.PATCH, ref, None, m.service("a"), ({"op": "test", "path": "/kind", "value": "X"},))
        )
