"""What each verb writes: the fields that `kubectl argo rollouts` writes, with tests on what the person saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonpatch
import pytest

import releases as r
from rollway.releases import verbs
from rollway.releases.acting import carry_out, image_setter, on_rollout, on_status, undoer
from rollway.routers.errors import (
    AmbiguousError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    StoreError,
    UnsupportedError,
)
from rollway.routers.objects import ObjectRef
from rollway.routers.testing.memory import MemoryStore

if TYPE_CHECKING:
    from rollway.releases.verbs import Effect
    from rollway.routers.objects import Manifest
    from rollway.routers.plan import Change

REF = ObjectRef("argoproj.io", "Rollout", "default", "shop")
DONE = {"pauseConditions": None, "controllerPause": None, "currentPodHash": r.STABLE, "currentStepIndex": 4}
NO_PAUSE = {"pauseConditions": None, "controllerPause": None}


def written(rollout: Manifest, effect: Effect) -> dict[str, Any]:
    """Return the fields that an effect changes, `spec.` or `status.` before their names."""
    after = jsonpatch.apply_patch(rollout, [*effect.status, *effect.spec])
    return {
        f"{part}.{key}": after[part].get(key)
        for part in ("status", "spec")
        for key in {**rollout[part], **after[part]}
        if rollout[part].get(key) != after[part].get(key)
    }


@pytest.mark.parametrize(
    ("rollout", "fields", "text"),
    [
        (r.canary(), {"status.pauseConditions": None}, "promoted past the pause at step 2/4 (pause)"),
        (r.canary(**NO_PAUSE), {"status.currentStepIndex": 2}, "promoted past step 2/4 (pause)"),
        (r.blue_green(), {"status.pauseConditions": None}, "promoted past its pause"),
        (
            r.canary({"paused": True}),
            {"status.pauseConditions": None, "spec.paused": False},
            "promoted past the pause at step 2/4 (pause)",
        ),
        (r.canary({"paused": True}, **DONE), {"spec.paused": False}, "promoted: it is no longer paused by hand"),
        (
            r.canary(canary={"currentStepAnalysisRunStatus": {"status": "Inconclusive"}}),
            {"status.pauseConditions": None, "status.controllerPause": False, "status.currentStepIndex": 2},
            "promoted past the pause at step 2/4 (pause)",
        ),
        (r.canary(**DONE), {}, "no update is under way"),
        (r.canary(**NO_PAUSE, currentStepIndex=4), {}, "it does not pause; it is Progressing: more replicas"),
        (r.canary(**NO_PAUSE, abort=True), {}, "its update is aborted; `rollway retry` begins it again"),
        (r.canary(**DONE, observedGeneration="2"), {}, "its controller has not seen the present spec yet"),
        (r.blue_green(**NO_PAUSE), {}, "it does not pause; it is Progressing: more replicas"),
    ],
)  # fmt: skip
def test_promote(rollout: Manifest, fields: Any, text: str) -> None:
    """It ends a pause, or else skips the step that is under way, never both; where neither is there, it says so."""
    effect = verbs.promote(rollout)
    assert written(rollout, effect) == fields
    assert effect.text.startswith(text)
    assert effect.changes == bool(fields)


def test_promote_of_a_rollout_that_nobody_runs() -> None:
    """Without a status there is nothing to promote, and the answer says that no controller is there."""
    rollout = {**r.canary(), "status": {}}
    for verb in (verbs.promote, verbs.promote_fully, verbs.abort, verbs.skip):
        assert (verb(rollout).text, verb(rollout).changes) == ("no controller has taken it up yet", False)


@pytest.mark.parametrize(
    ("verb", "rollout", "fields"),
    [
        (verbs.promote_fully, r.canary(), {"status.promoteFull": True}),
        (verbs.promote_fully, r.canary({"paused": True}), {"status.promoteFull": True, "spec.paused": False}),
        (verbs.promote_fully, r.canary({"paused": True}, **DONE), {"spec.paused": False}),
        (verbs.promote_fully, r.canary(**DONE), {}),
        (verbs.promote_fully, r.canary(promoteFull=True), {}),
        (verbs.skip, r.canary(), {"status.currentStepIndex": 2}),
        (verbs.skip_all, r.canary(), {"status.currentStepIndex": 4}),
        (verbs.skip, r.canary(**DONE), {}),
        (verbs.abort, r.canary(), {"status.abort": True}),
        (verbs.abort, r.canary(abort=True), {}),
        (verbs.abort, r.canary(**DONE), {}),
        (verbs.retry, r.canary(abort=True), {"status.abort": False}),
        (verbs.retry, r.canary(), {}),
        (verbs.pause, r.canary(), {"spec.paused": True}),
        (verbs.pause, r.canary({"paused": True}), {}),
        (verbs.resume, r.canary({"paused": True}), {"spec.paused": False}),
        (verbs.resume, r.canary(), {}),
        (lambda _: verbs.restart("2026-01-08T00:00:00Z"), r.canary(), {"spec.restartAt": "2026-01-08T00:00:00Z"}),
    ],
)  # fmt: skip
def test_each_verb_writes_its_field_or_nothing(verb: Any, rollout: Manifest, fields: Any) -> None:
    """A verb writes what Argo Rollouts' command line writes, and nothing where that has no effect."""
    effect = verb(rollout)
    assert (written(rollout, effect), effect.changes) == (fields, bool(fields))
    assert effect.text


def test_steps_are_skipped_only_where_there_are_some() -> None:
    """Blue-green, and a canary without steps, have nothing to skip: the caller's mistake."""
    for rollout in (r.blue_green(), r.canary(steps=[])):
        with pytest.raises(InvalidInputError, match="no steps to skip"):
            verbs.skip(rollout)


def run(store: MemoryStore, decide: Any, **words: Any) -> str:
    """Carry out a verb and return what it reports."""
    return carry_out(store, "shop", "", decide, **words).effect.text


def test_a_pause_that_began_after_it_was_read_is_not_promoted() -> None:
    """The release goes on to its next pause while somebody promotes the one before: nothing is written."""
    store = MemoryStore([r.canary()])
    later = {**r.PAUSE, "startTime": "2026-01-08T00:10:00Z"}

    def go_on(_change: Change) -> None:
        store.edit(REF, lambda live: live["status"].update(currentStepIndex=3, pauseConditions=[later]))

    store.interfere = go_on
    with pytest.raises(ConflictError, match="has moved since it was read"):
        run(store, on_status("promote", verbs.promote))
    assert store.manifests[REF]["status"]["pauseConditions"] == [later]


def test_a_step_is_skipped_on_the_version_that_was_read() -> None:
    """No test can show that there is no pause, so skipping a step relies on the version: a pause may begin meanwhile."""
    rollout = r.canary(**NO_PAUSE)
    rollout["metadata"]["resourceVersion"] = "7"
    assert {"op": "test", "path": "/metadata/resourceVersion", "value": "7"} in verbs.promote(rollout).status


def test_a_verb_is_tried_again_while_its_meaning_stays() -> None:
    """A conflict about something else is no reason to give up: the Rollout is read again, and the verb carried out."""
    store = MemoryStore([r.canary()])
    store.fail(at=0, error=ConflictError("somebody wrote"), times=4)
    run(store, on_status("promote", verbs.promote))
    assert "pauseConditions" not in store.manifests[REF]["status"]
    store = MemoryStore([r.canary()])
    store.fail(at=0, error=ConflictError("somebody wrote"), times=5)
    with pytest.raises(ConflictError, match="somebody wrote"):
        run(store, on_status("promote", verbs.promote))


def test_the_status_is_written_first() -> None:
    """A promotion that also unpauses is two writes, the status first, as Argo Rollouts' command line sends them."""
    store = MemoryStore([r.canary({"paused": True})])
    run(store, on_status("promote", verbs.promote))
    assert [change.subresource for change in store.log] == ["status", ""]
    assert store.manifests[REF]["spec"]["paused"] is False


def test_a_dry_run_writes_nothing() -> None:
    """The answer is that of the real run, and the Rollout stays as it is."""
    store = MemoryStore([r.canary()])
    for mode in (True, "server"):
        assert run(store, on_status("promote", verbs.promote), dry_run=mode).startswith("promoted past")
    assert store.manifests[REF] == r.canary()


def test_a_rollout_of_several_namespaces_is_named_first() -> None:
    """A verb never guesses which Rollout is meant."""
    green = r.canary()
    green["metadata"]["namespace"] = "green"
    with pytest.raises(AmbiguousError):
        run(MemoryStore([r.canary(), green]), on_rollout(verbs.pause))


# -- images


def images(rollout: Manifest) -> list[str]:
    """Return the images of all containers."""
    pod = rollout["spec"]["template"]["spec"]
    return [item["image"] for kind in ("initContainers", "containers") for item in pod.get(kind, ())]


def test_images_are_set_by_container() -> None:
    """One container, several, or all of them by `*`, those that start before the others included."""
    rollout = r.canary()
    pod = rollout["spec"]["template"]["spec"]
    pod["initContainers"] = [{"name": "init", "image": "init:1"}]
    pod["containers"].append({"name": "log", "image": "log:1"})
    for wanted, found in (
        ({"app": "shop:3"}, ["init:1", "shop:3", "log:1"]),
        ({"init": "init:2", "log": "log:2"}, ["init:2", "shop:2", "log:2"]),
        ({"*": "all:1"}, ["all:1", "all:1", "all:1"]),
        ({"*": "all:1", "app": "shop:3"}, ["all:1", "shop:3", "all:1"]),
    ):
        store = MemoryStore([rollout])
        run(store, image_setter(wanted))
        assert images(store.manifests[REF]) == found
    assert not verbs.set_images(rollout, {"app": "shop:2"}).changes


def test_a_container_that_is_not_there() -> None:
    """The error lists the containers that there are."""
    with pytest.raises(NotFoundError) as caught:
        run(MemoryStore([r.canary()]), image_setter({"web": "shop:3"}))
    assert "has no container web" in str(caught.value)
    assert "its containers are: app" in str(caught.value)


def test_an_image_that_somebody_else_has_set_meanwhile() -> None:
    """The other image is read, and replaced, as by the command line of Argo Rollouts."""
    store = MemoryStore([r.canary()])

    def other(_change: Change) -> None:
        store.interfere = lambda _next: None
        store.edit(REF, lambda live: live["spec"]["template"]["spec"]["containers"][0].update(image="x:1"))

    store.interfere = other
    run(store, image_setter({"app": "shop:3"}))
    assert images(store.manifests[REF]) == ["shop:3"]


@pytest.mark.parametrize(
    ("version", "kind", "path"),
    [("apps/v1", "Deployment", "spec"), ("apps/v1", "ReplicaSet", "spec"), ("v1", "PodTemplate", "")],
)
def test_the_workload_of_a_rollout_is_what_changes(version: str, kind: str, path: str) -> None:
    """With workloadRef, `set image` and `undo` act on the object that has the template, and not on the Rollout."""
    ref = {"apiVersion": version, "kind": kind, "name": "web"}
    rollout = r.canary({"workloadRef": ref})
    del rollout["spec"]["template"]
    holder = {"template": r.template()}
    workload = {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "web", "namespace": "default"},
        **({path: holder} if path else holder),
    }
    old = [r.replica_set(r.STABLE, 1), r.replica_set(r.CANARY, 2, "shop:2")]
    store = MemoryStore([rollout, workload, *old])
    place = ObjectRef(version.rpartition("/")[0], kind, "default", "web")

    def image() -> str:
        live = store.manifests[place]
        template = (live[path] if path else live)["template"]
        return str(template["spec"]["containers"][0]["image"])

    run(store, image_setter({"app": "shop:3"}))
    assert image() == "shop:3"
    run(store, undoer(1))
    assert image() == "shop:1"
    assert store.manifests[REF] == rollout


def test_a_workload_of_another_kind_is_refused_by_name() -> None:
    """No controller takes the template of a StatefulSet, so nothing is written."""
    rollout = r.canary({"workloadRef": {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web"}})
    with pytest.raises(UnsupportedError, match=r"StatefulSet\.apps web"):
        run(MemoryStore([rollout]), image_setter({"app": "shop:3"}))


# -- undo


def revisions(*more: Manifest) -> list[Manifest]:
    """Return the ReplicaSets of two revisions, and some more."""
    return [r.replica_set(r.CANARY, 5, "shop:2"), r.replica_set(r.STABLE, 4), *more]


def test_undo_goes_back_to_the_revision_before_the_latest() -> None:
    """The template of its ReplicaSet comes back without the hash, and what was added later is gone."""
    rollout = r.canary()
    rollout["spec"]["template"]["spec"]["containers"].append({"name": "log", "image": "log:1"})
    store = MemoryStore([rollout, *revisions()])
    assert run(store, undoer()) == "went back to the template of revision 4"
    assert store.manifests[REF]["spec"]["template"] == r.template("shop:1")
    assert run(store, undoer(4)) == "it has the template of revision 4 already"


def test_undo_leaves_out_what_the_controller_had_added() -> None:
    """Ephemeral metadata and injected anti-affinity do not come back; what the user wrote beside them does."""
    old = r.replica_set(r.STABLE, 4)
    old["metadata"]["annotations"]["rollout.argoproj.io/ephemeral-metadata"] = (
        '{"labels":{"role":"canary"},"annotations":{"seen":"no"}}'
    )
    template = old["spec"]["template"]
    template["metadata"]["labels"].update(role="canary", tier="web")
    template["metadata"]["annotations"] = {"seen": "yes"}
    hashes = {"key": "rollouts-pod-template-hash", "operator": "In", "values": [r.CANARY]}
    injected = {"labelSelector": {"matchExpressions": [hashes]}, "topologyKey": "kubernetes.io/hostname"}
    own = {"labelSelector": {"matchLabels": {"app": "other"}}, "topologyKey": "zone"}
    preferred = {"weight": 1, "podAffinityTerm": injected}
    template["spec"]["affinity"] = {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [injected, own],
            "preferredDuringSchedulingIgnoredDuringExecution": [preferred],
        }
    }
    store = MemoryStore([r.canary(), r.replica_set(r.CANARY, 5), old])
    run(store, undoer())
    back = store.manifests[REF]["spec"]["template"]
    assert back["metadata"] == {"labels": {"app": "shop", "tier": "web"}, "annotations": {"seen": "yes"}}
    assert back["spec"]["affinity"] == {
        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [own]}
    }
    template["spec"]["affinity"]["podAntiAffinity"] = {
        "requiredDuringSchedulingIgnoredDuringExecution": [injected]
    }
    store = MemoryStore([r.canary(), r.replica_set(r.CANARY, 5), old])
    run(store, undoer())
    assert "affinity" not in store.manifests[REF]["spec"]["template"]["spec"]


def test_a_revision_that_is_not_there() -> None:
    """The error lists those that there are, and the number that the release has got since."""
    reused = r.replica_set(r.STABLE, 7)
    reused["metadata"]["annotations"]["rollout.argoproj.io/revision-history"] = "3,5"
    foreign = r.replica_set("6d8f9c7b5d", 9)
    foreign["metadata"]["ownerReferences"][0]["uid"] = "of-another"
    store = MemoryStore([r.canary(), r.replica_set(r.CANARY, 6), reused, foreign])
    with pytest.raises(NotFoundError) as caught:
        run(store, undoer(3))
    assert "has no revision 3" in str(caught.value)
    assert "the release of revision 3 is revision 7 now; there is: 7, 6" in str(caught.value)
    with pytest.raises(NotFoundError, match="no revision 9"):
        run(store, undoer(9))
    with pytest.raises(NotFoundError, match="no earlier revision"):
        run(MemoryStore([r.canary(), reused]), undoer())


def test_an_undo_that_meets_another_template() -> None:
    """Whatever somebody else writes while it is undone, the template that comes back is the old one."""
    store = MemoryStore([r.canary(), *revisions()])

    def other(_change: Change) -> None:
        store.interfere = lambda _next: None
        store.edit(REF, lambda live: live["spec"].update(template=r.template("x:1")))

    store.interfere = other
    run(store, undoer())
    assert images(store.manifests[REF]) == ["shop:1"]


def test_a_store_that_fails_is_no_conflict() -> None:
    """Only a conflict is tried again."""
    store = MemoryStore([r.canary()])
    store.fail(at=0, error=StoreError("the disk is on fire"))
    with pytest.raises(StoreError, match="on fire"):
        run(store, on_rollout(verbs.pause))
    assert len(store.log) == 1
