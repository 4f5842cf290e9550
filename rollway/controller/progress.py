"""How far a release has come: what the status carries from one look to the next, as a value. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.controller.world import whole_second
from rollway.releases.phase import time_of, write_time

if TYPE_CHECKING:
    from datetime import datetime

    from rollway.routers.objects import Manifest

CANARY_PAUSE = "CanaryPauseStep"
BLUE_GREEN_PAUSE = "BlueGreenPause"


class PauseCondition(NamedTuple):
    """Why a release waits, and since when."""

    reason: str
    started: datetime


@dataclass(frozen=True)
class Progress:
    """What is carried from one look to the next.

    `index` is the current step of a canary, None without steps. `resumed` means that a user ended the pause: the controller
    had noted one, and its list is empty.
    """

    pod_hash: str = ""
    step_hash: str = ""
    stable: str = ""
    index: int | None = None
    pauses: tuple[PauseCondition, ...] = ()
    controller_pause: bool = False
    aborted: bool = False
    aborted_at: datetime | None = None
    abort_message: str = ""
    promote_full: bool = False
    stable_ping_pong: str = ""
    restarted_at: str = ""
    preview_checked: bool = False
    """Blue-green: whether the preview was accepted at its own size, so that it may grow (`scaleUpPreviewCheckPoint`)."""

    @property
    def resumed(self) -> bool:
        """Whether a user ended the pause that the controller had begun."""
        return self.controller_pause and not self.pauses

    @property
    def fully_promoted(self) -> bool:
        """Whether the current template is the stable one."""
        return bool(self.stable) and self.stable == self.pod_hash

    def pause(self, reason: str) -> PauseCondition | None:
        """Return the pause that there is for a reason."""
        return next((pause for pause in self.pauses if pause.reason == reason), None)

    def with_pause(self, reason: str, now: datetime) -> Progress:
        """Return the same with a pause that begins now."""
        return replace(
            self, pauses=(*self.pauses, PauseCondition(reason, whole_second(now))), controller_pause=True
        )

    def without_pauses(self) -> Progress:
        """Return the same going on."""
        return replace(self, pauses=(), controller_pause=False)


def read_progress(status: Manifest) -> Progress:
    """Read what a status carries; what cannot be read counts as absent."""
    canary, blue_green = status.get("canary") or {}, status.get("blueGreen") or {}
    index = status.get("currentStepIndex")
    pauses = [
        PauseCondition(str(pause.get("reason")), started)
        for pause in status.get("pauseConditions") or ()
        if (started := time_of(pause.get("startTime")))
    ]
    return Progress(
        pod_hash=status.get("currentPodHash") or "",
        step_hash=status.get("currentStepHash") or "",
        stable=status.get("stableRS") or "",
        index=index if type(index) is int else None,
        pauses=tuple(pauses),
        controller_pause=bool(status.get("controllerPause")),
        aborted=bool(status.get("abort")),
        aborted_at=time_of(status.get("abortedAt")),
        promote_full=bool(status.get("promoteFull")),
        stable_ping_pong=canary.get("stablePingPong") or "",
        restarted_at=status.get("restartedAt") or "",
        preview_checked=bool(blue_green.get("scaleUpPreviewCheckPoint")),
    )


def progress_fields(progress: Progress) -> dict[str, Any]:
    """Return the fields of a status that carry it; what is empty is left out."""
    pauses = [{"reason": pause.reason, "startTime": write_time(pause.started)} for pause in progress.pauses]
    fields: dict[str, Any] = {
        "currentPodHash": progress.pod_hash,
        "currentStepHash": progress.step_hash,
        "stableRS": progress.stable,
        "pauseConditions": pauses,
        "controllerPause": progress.controller_pause,
        "abort": progress.aborted,
        "abortedAt": write_time(progress.aborted_at) if progress.aborted_at else "",
        "promoteFull": progress.promote_full,
        "restartedAt": progress.restarted_at,
    }
    fields = {key: value for key, value in fields.items() if value}
    return fields if progress.index is None else {**fields, "currentStepIndex": progress.index}
