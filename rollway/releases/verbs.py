"""What each verb writes into a Rollout: the fields that `kubectl argo rollouts` writes, as JSON Patches with tests. Pure.

Source: Argo Rollouts v1.10, `pkg/kubectl-argo-rollouts/cmd`. It sends merge patches, which also meet what has begun
since the Rollout was read; a test here lets such a patch fail instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.releases.phase import is_observed, is_promoted, phase_of
from rollway.releases.position import position_of, step_text, steps_of, strategy_of
from rollway.routers.differences import MISSING
from rollway.routers.errors import InvalidInputError, NotFoundError
from rollway.routers.held_weight import HELD_WEIGHT
from rollway.routers.objects import dig
from rollway.routers.plan import lookup, pointer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rollway.routers.objects import Manifest, Pointer
    from rollway.routers.plan import Operation

_INDEX: Pointer = ("status", "currentStepIndex")
_PAUSES: Pointer = ("status", "pauseConditions")
_PAUSED: Pointer = ("spec", "paused")
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


class Effect(NamedTuple):
    """What a verb does to one object, or, without any operation, why it has nothing to do.

    `status` and `spec` are the operations on the subresource and on the object, in this order. `basis` is what the
    caller saw and means: a verb whose basis has moved must not be carried out.
    """

    text: str
    status: tuple[Operation, ...] = ()
    spec: tuple[Operation, ...] = ()
    basis: tuple[Any, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.status or self.spec)


def promote(rollout: Manifest) -> Effect:
    """End the pause of a Rollout, or, where it does not pause, skip the step that is under way."""
    unpaused = _unpaused(rollout)
    text, status = _onward(rollout)
    if not status and unpaused:
        text = "promoted: it is no longer paused by hand"
    return Effect(text, status, unpaused, _situation(rollout))


def promote_fully(rollout: Manifest) -> Effect:
    """Complete the update without its other steps, pauses and analyses."""
    unpaused = _unpaused(rollout)
    if is_promoted(rollout):
        text = "no longer paused by hand; no update is under way" if unpaused else _idle(rollout)
        return Effect(text, (), unpaused, _situation(rollout))
    if dig(rollout, "status", "promoteFull"):
        return Effect("its full promotion was asked for before", (), unpaused, _situation(rollout))
    status = (*_tests(rollout, ("status", "currentPodHash")), _add(("status", "promoteFull"), value=True))
    return Effect("fully promoted, without its other steps", status, unpaused, _situation(rollout))


def skip(rollout: Manifest, *, everything: bool = False) -> Effect:
    """Skip the step that is under way, or all steps that are left.

    Raises:
        InvalidInputError: the Rollout has no steps.
    """
    position = position_of(rollout)
    if position is None:
        raise InvalidInputError(
            f"Rollout {rollout['metadata']['name']} has no steps to skip",
            hint="run `rollway promote` without an option about steps",
        )
    if position.index >= position.count or _is_untouched(rollout):
        return Effect(_idle(rollout))
    index = position.count if everything else position.following
    text = f"skipped {'all steps' if everything else 'a step'}, from {_step(rollout)}"
    return Effect(text, tuple(_indexed(rollout, index)), (), _situation(rollout))


def skip_all(rollout: Manifest) -> Effect:
    """Skip all steps that are left; see `skip`."""
    return skip(rollout, everything=True)


def abort(rollout: Manifest) -> Effect:
    """Stop the update and go back to the stable release."""
    if dig(rollout, "status", "abort"):
        return Effect("it is aborted already")
    if is_promoted(rollout):
        return Effect(_idle(rollout))
    return Effect("aborted: all traffic and pods go back to stable", (_add(("status", "abort"), value=True),))


def retry(rollout: Manifest) -> Effect:
    """Begin an aborted update again."""
    if not dig(rollout, "status", "abort"):
        return Effect(f"it is not aborted; it is {phase_of(rollout)}")
    status = _replaced(rollout, ("status", "abort"), value=False)
    return Effect("its aborted update begins again", status, (), _situation(rollout)[:1])


def pause(rollout: Manifest) -> Effect:
    """Stop a Rollout where it is until `resume` or `promote`."""
    if dig(rollout, *_PAUSED):
        return Effect("it is paused by hand already")
    return Effect("paused by hand", spec=(_add(_PAUSED, value=True),))


def resume(rollout: Manifest) -> Effect:
    """Undo `pause`; a pause of the release itself goes on."""
    unpaused = _unpaused(rollout)
    if unpaused:
        return Effect("no longer paused by hand", spec=unpaused)
    more = "; `rollway promote` ends the pause of its release" if dig(rollout, *_PAUSES) else ""
    return Effect(f"it is not paused by hand{more}")


def restart(moment: str) -> Effect:
    """Replace all pods, at a moment as Kubernetes writes it (RFC 3339)."""
    return Effect(f"its pods restart at {moment}", spec=(_add(("spec", "restartAt"), value=moment),))


def set_images(owner: Manifest, images: Mapping[str, str]) -> Effect:
    """Set the images of containers by their names; `*` stands for all.

    `owner` is the object with the pod template: the Rollout, or what its `workloadRef` names.

    Raises:
        NotFoundError: there is no container of a name; lists those that there are.
    """
    path = template_path(owner)
    pod = (*path, "spec")
    places = [
        (*pod, kind, index) for kind in _CONTAINERS for index in range(len(dig(owner, *pod, kind) or ()))
    ]
    names = [str(dig(owner, *place, "name")) for place in places]
    for name in images:
        if name != "*" and name not in names:
            metadata = owner["metadata"]
            raise NotFoundError(
                f"{owner['kind']} {metadata.get('namespace', '')}/{metadata['name']} has no container {name}",
                hint=f"its containers are: {', '.join(names)}" if names else "it has no containers",
            )
    operations: list[Operation] = []
    changed: list[str] = []
    for place, name in zip(places, names, strict=True):
        image = images.get(name, images.get("*"))
        if image is not None and dig(owner, *place, "image") != image:
            operations += _tests(owner, (*place, "name"))
            operations += _replaced(owner, (*place, "image"), value=image)
            changed.append(f"{name} is {image} now")
    if not changed:
        return Effect("its containers have these images already")
    return Effect(f"updated: {', '.join(changed)}", spec=tuple(operations))


def set_template(owner: Manifest, template: Mapping[str, Any], number: int) -> Effect:
    """Give an object the pod template of a revision.

    `owner` is the object with the pod template: the Rollout, or what its `workloadRef` names.
    """
    path = template_path(owner)
    if dig(owner, *path) == template:
        return Effect(f"it has the template of revision {number} already")
    operations = _replaced(owner, path, value=dict(template))
    return Effect(f"went back to the template of revision {number}", spec=operations)


def template_path(owner: Manifest) -> Pointer:
    """Return where an object has its pod template."""
    return ("template",) if owner.get("kind") == "PodTemplate" else ("spec", "template")


def _onward(rollout: Manifest) -> tuple[str, tuple[Operation, ...]]:
    """Return what `promote` does, in words and in operations on the status."""
    position, pauses = position_of(rollout), dig(rollout, *_PAUSES)
    if pauses:
        operations = [*_tests(rollout, ("status", "currentPodHash"), _PAUSES), _remove(_PAUSES)]
        if strategy_of(rollout) != "Canary":
            return "promoted past its pause", tuple(operations)
        if position and _is_inconclusive(rollout):
            operations += _replaced(rollout, ("status", "controllerPause"), value=False)
            operations += [*_tests(rollout, _INDEX), _add(_INDEX, value=position.following)]
        held = HELD_WEIGHT in (dig(rollout, "metadata", "annotations") or {})
        what = "the weight that is held" if held else "the pause"
        return f"promoted past {what} at {_step(rollout)}", tuple(operations)
    if _is_untouched(rollout) or position is None or position.index >= position.count:
        return _idle(rollout), ()
    return f"promoted past {_step(rollout)}", tuple(_indexed(rollout, position.following))


def _is_inconclusive(rollout: Manifest) -> bool:
    run = dig(rollout, "status", "canary", "currentStepAnalysisRunStatus", "status")
    return run == "Inconclusive" and bool(dig(rollout, "status", "controllerPause"))


def _indexed(rollout: Manifest, index: int) -> list[Operation]:
    """Return the operations that set the step, on this very version of the Rollout: a pause may begin at any moment."""
    return [*_tests(rollout, ("metadata", "resourceVersion")), _add(_INDEX, value=index)]


def _is_untouched(rollout: Manifest) -> bool:
    """Return whether no update is under way in which a step could be skipped."""
    return not rollout.get("status") or bool(dig(rollout, "status", "abort")) or is_promoted(rollout)


def _idle(rollout: Manifest) -> str:
    """Return why a verb about an update has nothing to do."""
    if not rollout.get("status"):
        return "no controller has taken it up yet"
    if not is_observed(rollout):
        return "its controller has not seen the present spec yet"
    if dig(rollout, "status", "abort"):
        return "its update is aborted; `rollway retry` begins it again"
    if is_promoted(rollout):
        return "no update is under way"
    return f"it does not pause; it is {phase_of(rollout)}"


def _situation(rollout: Manifest) -> tuple[Any, ...]:
    """Return which release is where: what a person means who promotes it."""
    keys = ("currentPodHash", "currentStepIndex", "pauseConditions")
    return tuple(dig(rollout, "status", key) for key in keys)


def _step(rollout: Manifest) -> str:
    """Write the step that is under way, as the Events of Argo Rollouts count: from 1."""
    position, steps = position_of(rollout), steps_of(rollout)
    if position is None or position.index >= position.count:
        return "the end of its steps"
    return f"step {position.index + 1}/{position.count} ({step_text(steps[position.index])})"


def _unpaused(rollout: Manifest) -> tuple[Operation, ...]:
    # Without a test: who has unpaused it in between wants the same.
    return (_add(_PAUSED, value=False),) if dig(rollout, *_PAUSED) else ()


def _tests(manifest: Manifest, *paths: Pointer) -> list[Operation]:
    """Return the tests that some values are still what they were; no test can show that one is absent."""
    values = [(path, lookup(manifest, path)) for path in paths]
    return [
        {"op": "test", "path": pointer(path), "value": value}
        for path, value in values
        if value is not MISSING
    ]


def _add(path: Pointer, *, value: Any) -> Operation:
    return {"op": "add", "path": pointer(path), "value": value}


def _remove(path: Pointer) -> Operation:
    return {"op": "remove", "path": pointer(path)}


def _replaced(manifest: Manifest, path: Pointer, *, value: Any) -> tuple[Operation, ...]:
    """Return the operations that put a value in the place of the one that was read."""
    tests = _tests(manifest, path)
    return (*tests, {**_add(path, value=value), "op": "replace" if tests else "add"})
