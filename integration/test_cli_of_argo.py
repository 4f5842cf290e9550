"""The command line of Argo Rollouts with rollway's controller, rollway's with Argo's controller, and Argo CD's health check."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from harness.argo_rollouts import ARGO, OWN, BothControllers, deadlines, paused_update
from harness.waiting import until
from running import rollway

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.releasing import Shop
    from rollway.routers.objects import Manifest

# One cluster serves all files with both controllers, so one worker runs them.
pytestmark = [pytest.mark.local, pytest.mark.xdist_group("argo")]


def command(both: BothControllers, web: Shop, instance: str) -> Callable[..., str]:
    """Return the command line of the one project for a Rollout that the controller of the other one serves."""

    def run(*words: str, code: int = 0) -> str:
        if instance == OWN:
            return both.argo_cli(web, *words, code=code)
        ran = rollway(*words, "-n", web.namespace)
        assert ran.code == code, ran.stdout + ran.stderr
        return ran.stdout

    return run


@pytest.fixture(params=[OWN, ARGO], ids=["their-commands-our-controller", "our-commands-their-controller"])
def instance(request: pytest.FixtureRequest) -> str:
    """The instance id of the controller."""
    return str(request.param)


def test_a_canary_is_released_by_the_commands(both: BothControllers, instance: str) -> None:
    """Set image, promote, undo, abort, retry and promote --full do to a canary what their users know."""
    (web,) = paused_update(both, ("nginx", instance))
    run = command(both, web, instance)
    run("promote", "web")
    web.wait_healthy()
    # Argo's controller moves the Service after that.
    until(lambda: web.selected("stable") == "v2", "the stable Service selects the new version")
    run("undo", "web")
    status = web.wait(lambda status: status.get("phase") == "Paused", "the pause of the undo")
    assert (web.weight(), status["currentStepIndex"]) == ("20", 1)
    assert (web.selected("stable"), web.selected("canary")) == ("v2", "v1")
    assert len(web.items("ReplicaSet")) == 2, "the ReplicaSet of the old revision is used again"
    run("abort", "web")
    web.wait(lambda status: status.get("phase") == "Degraded", "aborted")
    until(lambda: web.weight() in ("", "0"), "the weight goes back")
    run("retry", "rollout", "web")
    web.wait(lambda status: status.get("phase") == "Paused", "the pause of the retry")
    until(lambda: web.weight() == "20", "the weight of the retry")
    run("promote", "web", "--full")
    web.wait_healthy()
    until(lambda: web.selected("stable") == "v1", "the stable Service selects the old version")
    run("set", "image", "web", "web=v3")
    status = web.wait(lambda status: status.get("phase") == "Paused", "the pause of the new image")
    run("undo", "web", "--to-revision=2")
    until(lambda: _paused_with(web, "v2"), "the pause of revision 2")


def _paused_with(web: Shop, image: str) -> bool:
    return web.status.get("phase") == "Paused" and web.selected("canary") == image


def test_a_blue_green_release_is_promoted_by_the_commands(both: BothControllers, instance: str) -> None:
    """A promote switches the active Service, an abort before it leaves it, and an undo soon after goes back."""
    (web,) = paused_update(both, ("blue-green", instance))
    web.merge({"spec": {"strategy": {"blueGreen": {"scaleDownDelaySeconds": 30}}}})
    run = command(both, web, instance)
    run("abort", "web")
    web.wait(lambda status: status.get("phase") == "Degraded", "aborted")
    assert web.selected("active") == "v1"
    run("retry", "rollout", "web")
    web.wait(lambda status: status.get("phase") == "Paused", "the pause of the retry")
    run("promote", "web")
    web.wait_healthy()
    assert web.selected("active") == "v2"
    until(lambda: deadlines(web, "v1"), "the time until which the old pods stay")
    run("undo", "web")
    until(lambda: web.selected("active") == "v1", "the active Service goes back without a pause")
    web.wait_healthy()


def test_pods_are_restarted_and_rollouts_paused_by_the_commands(both: BothControllers, instance: str) -> None:
    """Restart replaces the pods within their ReplicaSet, and a Rollout paused by hand starts no update until promote."""
    (web,) = paused_update(both, ("pods", instance))
    run = command(both, web, instance)
    run("promote", "web", "--full")
    web.wait_healthy()
    until(lambda: len(web.items("Pod")) == 3, "the old pods go")
    old = {each["metadata"]["uid"] for each in web.items("Pod")}
    time.sleep(1.1)  # times have whole seconds, and a pod of this second counts as new
    run("restart", "web")
    until(lambda: not old & {each["metadata"]["uid"] for each in web.items("Pod")}, "all pods are new", 60)
    web.wait_healthy()
    assert len(web.items("ReplicaSet")) == 2
    run("pause", "web")
    web.wait(lambda status: status.get("phase") == "Paused", "paused by hand")
    run("set", "image", "web", "web=v3")
    status = web.wait(lambda status: status.get("phase") == "Paused", "still paused")
    assert (status["message"], web.pods("v3")) == ("manually paused", 0)
    run("promote", "web")
    status = web.wait(lambda status: bool(status.get("pauseConditions")), "the first pause of the update")
    assert web.pods("v3") == 1


def test_what_the_commands_of_argo_show(both: BothControllers) -> None:
    """Get, list and status show phase, step, weight and revisions of a Rollout of rollway's, and status ends when it is over."""
    (web,) = paused_update(both, ("nginx", OWN))
    shown = " ".join(both.argo_cli(web, "get", "rollout", "web", "--no-color").split())
    for part in (
        "Status: ॥ Paused Message: CanaryPauseStep Strategy: Canary",
        "Step: 1/4 SetWeight: 20 ActualWeight: 20",
        "Images: v1 (stable) v2 (canary)",
        "Desired: 3 Current: 4 Updated: 1 Ready: 4 Available: 4",
        "# revision:2",
        "# revision:1",
    ):
        assert part in shown
    (_, line) = both.argo_cli(web, "list", "rollouts").splitlines()
    assert line.split() == ["web", "Canary", "Paused", "1/4", "20", "4/4", "3", "1", "4"]
    assert both.argo_cli(web, "status", "web", "--watch=false") == "Paused - CanaryPauseStep\n"
    both.argo_cli(web, "status", "web", "--timeout", "1s", code=1)
    both.argo_cli(web, "promote", "web", "--skip-current-step")
    assert both.argo_cli(web, "status", "web", "--timeout", "30s").endswith("Healthy\n")
    both.argo_cli(web, "set", "image", "web", "web=v3")
    web.wait(lambda status: status.get("phase") == "Paused", "the pause")
    both.argo_cli(web, "promote", "web", "--skip-all-steps")
    web.wait_healthy()
    both.argo_cli(web, "set", "image", "web", "web=v4")
    web.wait(lambda status: status.get("phase") == "Paused", "the pause")
    both.argo_cli(web, "abort", "web")
    (*_, last) = both.argo_cli(web, "status", "web", "--timeout", "30s", code=1).splitlines()
    assert last.startswith("Degraded - RolloutAborted: Rollout aborted update to revision 4")


def health(rollout: Manifest) -> str:
    """Return what Argo CD's health check makes of a Rollout.

    Source: argo-cd, `resource_customizations/argoproj.io/Rollout/health.lua`: whether the generations are observed, then the
    phase, of which `Paused` is shown as `Suspended`.
    """
    status: Manifest = rollout.get("status") or {}
    if not _observed(status.get("observedGeneration"), rollout["metadata"]["generation"]):
        return "Progressing"
    if "workloadRef" in rollout["spec"]:
        annotations = rollout["metadata"].get("annotations") or {}
        generation = annotations.get("rollout.argoproj.io/workload-generation")
        if generation != status.get("workloadObservedGeneration"):
            return "Progressing"
    phase = status["phase"]  # the script goes on by other rules without it
    return "Suspended" if phase == "Paused" else str(phase)


def _observed(observed: Any, generation: int) -> bool:
    assert isinstance(observed, str), "the field is a text"
    assert observed.isdigit(), "it is compared as a number"
    return int(observed) == generation


def test_the_health_check_of_argo_cd_understands_the_status(both: BothControllers) -> None:
    """Suspended at a pause, Progressing right after a change of the spec, Healthy when it is over, Degraded when aborted."""
    (web,) = paused_update(both, ("pods", OWN))

    def shows(wanted: str) -> bool:
        return health(web.get("Rollout", "web")) == wanted

    assert shows("Suspended")
    both.argo_cli(web, "promote", "web", "--full")
    until(lambda: shows("Healthy"), "Healthy")
    web.set_image("v3")
    assert not shows("Healthy"), "an update that nobody has observed is not Healthy"
    until(lambda: shows("Suspended"), "Suspended")
    both.argo_cli(web, "abort", "web")
    until(lambda: shows("Degraded"), "Degraded")
    assert web.status["message"].startswith("RolloutAborted")
