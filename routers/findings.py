"""What is found in the objects of a Rollout: what a data plane would ignore, reject or break."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rollway.routers.objects import ObjectRef


class Severity(enum.Enum):
    """Whether a finding stops the plan or is only reported."""

    REFUSAL = "refusal"
    NOTE = "note"


class Finding(NamedTuple):
    """One thing that the data plane would ignore, reject or break, or that a reader should know.

    `code` names the case (`nginx-second-canary`); `--allow CODE` lifts a refusal with that code.
    """

    code: str
    severity: Severity
    ref: ObjectRef | None
    message: str
    remedy: str = ""
    transient: bool = False
    """Whether waiting can end it, as for a pod that is not ready yet."""
    place: str = ""
    """Where it stands in the manifests (`k8s/web.yaml:12`), where that is known and not the place of the object."""

    def __str__(self) -> str:
        subject = f"{self.ref}: " if self.ref else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{subject}{self.message}{remedy} [{self.code}]"


class FindingCode(NamedTuple):
    """What a finding's code stands for; each code is described once, beside the check that finds it.

    `otherwise` is what happens without the refusal, or in spite of a note.
    """

    code: str
    meaning: str
    otherwise: str
    remedy: str
