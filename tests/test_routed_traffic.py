"""The traffic of Rollouts: what is shown, how a wish is written, and the evidence for it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from controlled import rollout, until

import manifests as m
from rollway.controller.decision import SetTraffic
from rollway.controller.routed_traffic import RoutedTraffic
from rollway.routers.errors import RefusedError
from rollway.routers.model import HASH_LABEL
from rollway.routers.objects import ObjectRef
from rollway.routers.router import TrafficRouter
from rollway.routers.testing.memory import MemoryStore
from rollway.routers.traffic import Evidence, Outcome, Traffic, Verdict
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.model import Context
    from rollway.routers.objects import Manifest


@pytest.fixture
def changed() -> list[tuple[str, str]]:
    """The Rollouts that something was reported about."""
    return []


def nginx_rollout(**status: Any) -> Manifest:
    """Return a Rollout with the nginx router, in an update."""
    routing = {"nginx": {"stableIngress": "web"}}
    canary = {"stableService": "stable", "canaryService": "canary", "trafficRouting": routing}
    manifest = rollout(strategy={"canary": canary})
    manifest["status"] = {"stableRS": "a", "currentPodHash": "b", **status}
    return manifest


def shop(*more: Manifest) -> MemoryStore:
    """Return a store with the routing of that Rollout."""
    stable = m.ingress("web", "shop.example.com", m.path("stable"))
    return MemoryStore([stable, m.service("stable"), m.service("canary"), *more])


@pytest.fixture
def routed(changed: list[tuple[str, str]]) -> Iterator[RoutedTraffic]:
    """The traffic of a Rollout in memory."""
    found = RoutedTraffic(shop(), lambda *key: changed.append(key))
    yield found
    found.close()


def wish(weight: int) -> SetTraffic:
    """Return a wish."""
    return SetTraffic(Traffic(Split(weight, 100)), "a", "b")


def test_a_wish_is_written_and_then_proven(routed: RoutedTraffic, changed: list[tuple[str, str]]) -> None:
    """The answer to the write is the evidence `written`; after a restart it is asked for, and the Rollout is reported then."""
    state, faults = routed.state(nginx_rollout())
    assert not faults
    assert state is not None
    routed.set(nginx_rollout(), wish(20))
    state, _ = routed.state(nginx_rollout())
    assert state is not None
    assert state.shown == wish(20).wish
    assert state.level is Evidence.WRITTEN
    assert state.proves(wish(20).wish)
    routed.forget("default", "web")
    state, _ = routed.state(nginx_rollout())
    assert state is not None
    assert not state.proves(wish(20).wish)
    routed.ask(nginx_rollout(), wish(20))
    until(lambda: ("default", "web") in changed)
    state, _ = routed.state(nginx_rollout())
    assert state is not None
    assert state.proves(wish(20).wish)
    canary = ObjectRef("networking.k8s.io", "Ingress", "default", "web-web-canary")
    assert routed.concerned(canary) == [("default", "web")]
    routed.forget("default", "web")
    routed.forget("default", "web")
    assert routed.concerned(canary) == []


def test_evidence_is_void_once_somebody_else_has_written(changed: list[tuple[str, str]]) -> None:
    """What the answer to our own write has shown no longer counts when the object has another version."""
    store = shop()
    with closing(RoutedTraffic(store, lambda *key: changed.append(key))) as routed:
        routed.set(nginx_rollout(), wish(20))
        assert _proves(routed, 20)
        with closing(RoutedTraffic(store, lambda *key: changed.append(key))) as other:
            other.set(nginx_rollout(), wish(40))
            other.set(nginx_rollout(), wish(20))
        state, _ = routed.state(nginx_rollout())
        assert state is not None
        assert state.shown == wish(20).wish
        assert not state.proves(wish(20).wish)


class Loading:
    """A data plane that has a weight only at the second look."""

    evidence = Evidence.LOADED
    backends: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self.looks = 0

    def judge(self, _context: Context) -> Verdict:
        self.looks += 1
        if self.looks == 1:
            return Verdict(Outcome.DIFFERS, Evidence.LOADED, reason="it has 0 yet")
        return Verdict(Outcome.MATCHES, Evidence.LOADED)


def test_a_step_waits_until_data_planes_have_loaded_the_weight(
    routed: RoutedTraffic, changed: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a data plane has another weight the state says so, and it is proven once that has loaded it."""
    probe = Loading()
    monkeypatch.setattr(RoutedTraffic, "_found", lambda *_: (Evidence.LOADED, (probe,)))
    routed.set(nginx_rollout(), wish(20))
    routed.ask(nginx_rollout(), wish(20))
    until(lambda: ("default", "web") in changed)
    state, _ = routed.state(nginx_rollout())
    assert state is not None
    assert "is not loaded yet" in state.problem or state.proves(wish(20).wish)
    until(lambda: _proves(routed, 20))
    assert probe.looks == 2


def _proves(routed: RoutedTraffic, weight: int) -> bool:
    state, _ = routed.state(nginx_rollout())
    return state is not None and state.proves(wish(weight).wish)


def test_evidence_that_cannot_be_asked_is_a_problem_of_the_state(
    routed: RoutedTraffic, changed: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect of a probe is named as what the release waits for; objects that show another weight prove nothing."""

    def broken(*_: object) -> Any:
        raise ZeroDivisionError

    routed.set(nginx_rollout(), wish(20))
    monkeypatch.setattr(TrafficRouter, "verify", broken)
    routed.ask(nginx_rollout(), wish(20))
    until(lambda: changed)
    state, _ = routed.state(nginx_rollout())
    assert state is not None
    assert "could not be asked" in state.problem
    changed.clear()
    routed.ask(nginx_rollout(), wish(40))
    until(lambda: changed)
    assert not _proves(routed, 40)


def test_a_rollout_without_a_router_has_no_traffic(routed: RoutedTraffic) -> None:
    """Neither state nor fault."""
    assert routed.state(rollout()) == (None, ())


def test_routing_that_cannot_be_read_is_a_fault(routed: RoutedTraffic) -> None:
    """A missing Ingress, or a stanza with a fault, is named."""
    manifest = nginx_rollout()
    manifest["spec"]["strategy"]["canary"]["trafficRouting"] = {"nginx": {"stableIngress": "other"}}
    state, faults = routed.state(manifest)
    assert state is None
    assert "other" in faults[0]


def test_a_refused_wish_is_a_problem_of_the_state(changed: list[tuple[str, str]]) -> None:
    """An Ingress of somebody else stands in the way: it is not touched, and the state says so."""
    foreign = m.ingress()
    foreign["metadata"] = {**foreign["metadata"], "name": "web-web-canary"}
    store = shop(foreign)
    with closing(RoutedTraffic(store, lambda *key: changed.append(key))) as routed:
        with pytest.raises(RefusedError):
            routed.set(nginx_rollout(), wish(20))
        state, _ = routed.state(nginx_rollout())
        assert state is None or "web-web-canary" in state.problem


def test_a_wish_without_a_place_is_a_problem_of_the_state(changed: list[tuple[str, str]]) -> None:
    """An Ingress without a path to the stable Service is named in the state, as what the release waits for."""
    store = MemoryStore([m.ingress(), m.service("stable"), m.service("canary")])
    with closing(RoutedTraffic(store, lambda *key: changed.append(key))) as routed:
        with pytest.raises(RefusedError):
            routed.set(nginx_rollout(), wish(20))
        state, _ = routed.state(nginx_rollout())
        assert state is not None
        assert "no path that leads to Service stable" in state.problem


def test_what_others_set_in_our_objects_is_written_over(changed: list[tuple[str, str]]) -> None:
    """A canary Ingress of this Rollout, which Argo's controller has made, is written whoever has set its fields before."""
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web", "uid": "uid-web"}
    left = m.ingress("web-web-canary", "shop.example.com", m.path("canary"))
    left["metadata"] |= {
        "annotations": {"nginx.ingress.kubernetes.io/canary": "true"},
        "ownerReferences": [{**owner, "controller": True}],
    }
    store = shop(left)
    with closing(RoutedTraffic(store, lambda *key: changed.append(key))) as routed:
        routed.set(nginx_rollout(), wish(20))
        routed.set(nginx_rollout(), wish(40))
    assert [change.adopt for change in store.log] == [True, True]


def test_objects_that_lack_something_are_written_though_they_show_the_weight(
    changed: list[tuple[str, str]],
) -> None:
    """The canary Ingress that Argo's controller has made is completed once, and then its weight can be proven."""
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web", "uid": "uid-web"}
    prefix = "nginx.ingress.kubernetes.io/canary"
    left = m.ingress("web-web-canary", "shop.example.com", m.path("canary"))
    left["metadata"] |= {
        "annotations": {prefix: "true", f"{prefix}-weight": "0"},
        "ownerReferences": [{**owner, "controller": True}],
    }
    with closing(RoutedTraffic(shop(left), lambda *key: changed.append(key))) as routed:
        state, _ = routed.state(nginx_rollout())
        assert state is not None
        assert state.shown == wish(0).wish
        assert not state.shows(wish(0).wish)
        routed.set(nginx_rollout(), wish(0))
        state, _ = routed.state(nginx_rollout())
        assert state is not None
        assert state.shows(wish(0).wish)
        routed.ask(nginx_rollout(), wish(0))
        until(lambda: _proves(routed, 0))


@pytest.fixture
def blue_green(changed: list[tuple[str, str]]) -> Iterator[RoutedTraffic]:
    """The traffic of a blue-green Rollout in memory, whose status calls `a` stable and current."""
    services = [m.service("active"), m.service("preview")]
    for each in services:
        each["spec"]["selector"][HASH_LABEL] = "a"
    found = RoutedTraffic(MemoryStore(services), lambda *key: changed.append(key))
    yield found
    found.close()


def blue_green_rollout(stable: str = "a", current: str = "a") -> Manifest:
    """Return that Rollout."""
    manifest = rollout(strategy={"blueGreen": {"activeService": "active", "previewService": "preview"}})
    manifest["status"] = {"stableRS": stable, "currentPodHash": current}
    return manifest


def test_a_service_that_was_switched_before_the_status_reports_it_is_no_fault(
    blue_green: RoutedTraffic,
) -> None:
    """An undo of blue-green may switch at once, while the status still calls the release before it the current one."""
    manifest = blue_green_rollout()
    blue_green.set(manifest, SetTraffic(Traffic(Split(100, 100)), "a", "b"))
    state, faults = blue_green.state(manifest)
    assert not faults
    assert state is not None
    assert state.shown == wish(100).wish


def test_services_are_written_once_more_after_a_promotion(blue_green: RoutedTraffic) -> None:
    """They remember a switch until then, so what they show is not yet what a write of it leaves."""
    blue_green.set(blue_green_rollout(current="b"), SetTraffic(Traffic(Split(100, 100)), "a", "b"))
    state, _ = blue_green.state(blue_green_rollout("b", "b"))
    assert state is not None
    assert not state.shows(wish(0).wish)
    blue_green.set(blue_green_rollout("b", "b"), SetTraffic(Traffic(Split(0, 100)), "b", "b"))
    state, _ = blue_green.state(blue_green_rollout("b", "b"))
    assert state is not None
    assert state.shows(wish(0).wish)


def test_services_of_a_release_that_the_status_does_not_name_yet_are_as_written(
    blue_green: RoutedTraffic,
) -> None:
    """An undo moves the preview Service before the status is written; to write the same again and again would not end."""
    begun = SetTraffic(Traffic(Split(0, 100)), "a", "b")
    blue_green.set(blue_green_rollout(), begun)
    state, _ = blue_green.state(blue_green_rollout())
    assert state is not None
    assert state.shows(begun.wish)
