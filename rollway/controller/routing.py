"""What both strategies ask of the traffic: evidence before anything that rests on it. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from rollway.controller.release import completed
from rollway.controller.spec import ABORT_SCALE_DOWN_DELAY_S
from rollway.controller.subsets import is_settled, shown_weight, stable_is_selected
from rollway.controller.world import whole_second
from rollway.routers.traffic import Traffic
from rollway.routers.weights import Split

if TYPE_CHECKING:
    from rollway.controller.release import Plan, Release
    from rollway.routers.traffic import SubsetHashes


def is_proven(release: Release, plan: Plan, wish: Traffic) -> bool:
    """Return whether the evidence for a wish is there; what it waits for is noted."""
    traffic = release.world.traffic
    if traffic is None:
        return False
    if not traffic.proves(wish, _subsets(plan)):
        plan.waiting.append(traffic.problem or f"weight {wish.split} is not {traffic.level.name.lower()} yet")
        return False
    return True


def is_drained(release: Release, plan: Plan, wish: Traffic) -> bool:
    """Return whether a wish has been proven for so long that no request is left where the weight was."""
    traffic = release.world.traffic
    if traffic is None or traffic.proven_at is None or not traffic.proves(wish, _subsets(plan)):
        return False
    due = traffic.proven_at + traffic.drain
    if release.now < due:
        plan.times.append(due)
        return False
    return True


def _subsets(plan: Plan) -> SubsetHashes | None:
    """Return what the subsets of a router are to select now."""
    return plan.wish.subsets if plan.wish else None


def promoted_wish(release: Release, plan: Plan, stable_service: str) -> Traffic:
    """Return the traffic of a promoted release: all to stable, once the stable Service leads to the promoted pods."""
    shown, total = shown_weight(release), release.spec.strategy.total
    reached = not stable_service or release.is_empty or release.serves(stable_service, release.stable)
    if shown and not reached:
        plan.waiting.append(f"Service {stable_service} has to lead to pods of the promoted release")
        return Traffic(Split(shown, total))
    if shown and not (stable_is_selected(release) and is_settled(release)):
        plan.waiting.append("the stable subset has to select the promoted release, in the data plane as well")
        return Traffic(Split(shown, total))
    return Traffic(Split(0, total))


def end_aborted(release: Release, plan: Plan, *, settled: bool) -> None:
    """Keep the pods of an aborted release for its delay, which begins when no traffic goes to them; 0 keeps them for good.

    Source: Argo Rollouts, `abortScaleDownDelaySeconds` in its documentation of canary and blue-green.
    """
    spec, new = release.spec, release.new
    delay = spec.strategy.abort_delay
    plan.pods[new.name] = new.desired
    if not new.desired or delay == 0 or not settled or release.stable_available < spec.replicas:
        return
    if new.deadline is None:
        due = whole_second(release.now) + timedelta(
            seconds=ABORT_SCALE_DOWN_DELAY_S if delay is None else delay
        )
        plan.deadlines[new.name] = due
        plan.times.append(due)
    elif release.now >= new.deadline:
        plan.pods[new.name] = 0
    else:
        plan.times.append(new.deadline)


def promoted(release: Release, plan: Plan, why: str, *, stable_ping_pong: str = "") -> None:
    """Make the current release the stable one."""
    plan.progress = replace(
        plan.progress.without_pauses(),
        stable=release.new.pod_hash,
        promote_full=False,
        preview_checked=False,
        stable_ping_pong=stable_ping_pong,
    )
    plan.events.append(completed(release, why))
