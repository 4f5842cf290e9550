"""What a pod is doing, in the word that kubectl shows for it. Pure.

Source: kubernetes, `pkg/printers/internalversion/printers.go` (`printPod`), which Argo Rollouts' command line copies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.routers.objects import dig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.objects import Manifest


class PodState(NamedTuple):
    """A word for what a pod is doing, how many of its containers are ready, and how often they were restarted."""

    word: str
    ready: int
    containers: int
    restarts: int


def state_of(pod: Manifest) -> PodState:
    """Return what a pod is doing."""
    status = pod.get("status") or {}
    word = str(status.get("reason") or status.get("phase") or "")
    containers = status.get("containerStatuses") or []
    initial = status.get("initContainerStatuses") or []
    running = [item for item in containers if item.get("ready") and dig(item, "state", "running") is not None]
    starting = _init_word(pod, initial)
    ready, restarts = 0, _restarts(initial)
    if starting:
        word = starting
    else:
        word = next(filter(None, (_word(item) for item in containers)), word)
        ready, restarts = len(running), _restarts(containers)
        if word == "Completed" and running:
            word = "Running"
    if dig(pod, "metadata", "deletionTimestamp"):
        word = "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return PodState(word, ready, len(dig(pod, "spec", "containers") or ()), restarts)


def _restarts(statuses: Sequence[dict[str, Any]]) -> int:
    return sum(item.get("restartCount", 0) for item in statuses)


def _word(container: dict[str, Any]) -> str:
    """Return why a container does not run; empty when nothing names a reason."""
    waiting, ended = dig(container, "state", "waiting", "reason"), dig(container, "state", "terminated")
    return str(waiting) if waiting else _end(ended) if ended is not None else ""


def _end(ended: dict[str, Any]) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    signal = ended.get("signal")
    return f"Signal:{signal}" if signal else f"ExitCode:{ended.get('exitCode', 0)}"


def _init_word(pod: Manifest, statuses: Sequence[dict[str, Any]]) -> str:
    """Return which init container a pod waits for; empty when they are all done."""
    declared = dig(pod, "spec", "initContainers") or []
    sidecars = {item["name"] for item in declared if item.get("restartPolicy") == "Always"}
    for index, item in enumerate(statuses):
        ended, waiting = dig(item, "state", "terminated"), dig(item, "state", "waiting", "reason")
        if ended is not None and not ended.get("exitCode"):
            continue
        if ended is not None:
            return f"Init:{_end(ended)}"
        if item.get("name") in sidecars and item.get("started"):
            continue
        if waiting and waiting != "PodInitializing":
            return f"Init:{waiting}"
        return f"Init:{index}/{len(declared)}"
    return ""
