"""The errors of rollway: one tree, each leaf with the exit code that the CLI ends with.

RollwayError                   1  anything below
├── InvalidInputError          2  the caller's words or manifests are wrong
│   ├── WeightError            2  a weight that cannot be read or is out of range
│   ├── ManifestError          2  a Rollout or routing object with faults, all of them listed
│   └── DuplicateObjectError   2  the same object stands in two places
├── InvalidBackendError        1  a backend of another distribution cannot be used
├── NotFoundError              1  an object, route or section that must be there is not
│   └── NotServedError         1  the cluster does not serve that kind: its CRD is not installed
├── RefusedError               4  unsafe: a guard or a backend's check refuses
│   ├── UnsupportedError       4  a backend or store lacks the feature
│   ├── AmbiguousError         4  more than one thing matches
│   │   └── UnknownRolesError  4  nothing shows which pods are stable
│   ├── ForeignOwnerError      4  the object belongs to somebody else
│   ├── StalePlanError         4  the world moved since the plan was reviewed
│   └── AdmissionError         4  the API server or one of its admission webhooks refuses the object
├── StoreError                 1  the store failed
│   ├── ConflictError          1  somebody else changed the object; read again and retry
│   │   └── UncertainError     1  the answer to a write got lost; read again to know
│   ├── ForbiddenError         1  the role lacks a verb on a resource
│   ├── CredentialsError       1  the API server does not accept the credentials, or there are none
│   ├── UnreachableError       1  no answer from the API server
│   └── UnwritableError        1  the change cannot be written into this text without touching more
├── ApplyError                 1  a plan failed half way; has what was put back
├── DegradedError              1  the release has failed, and does not go on by itself
├── NotVerifiedError           5  the evidence asked for was not reached in time
└── NotReachedError            5  the release did not get where it was waited for in time
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.findings import Finding


class Fault(NamedTuple):
    """One thing that is wrong with a manifest, and where it stands (`k8s/web.yaml:12`), if the store knows files."""

    message: str
    place: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class RollwayError(Exception):
    """Report what failed, on which object, why, and (in `hint`) what to do.

    `ref` is the `ObjectRef` of the object at fault. `value` is a text of the Rollout that leads nowhere, like the name of
    a route. `others` are further errors that the same call met; see `together`.
    """

    exit_code: ClassVar[int] = 1
    retryable: bool = False
    """Whether the same call may succeed a moment later without a change by anybody."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        ref: object = None,
        value: str = "",
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        if retryable is not None:
            self.retryable = retryable
        self.message = message
        self.hint = hint
        self.ref = ref
        self.value = value
        self.others: tuple[RollwayError, ...] = ()

    def __str__(self) -> str:
        own = f"{self.message}\n  {self.hint}" if self.hint else self.message
        return "\n".join([own, *map(str, self.others)])


def together(errors: Sequence[RollwayError]) -> RollwayError:
    """Return the first of several errors, which carries the others."""
    first, *others = errors
    first.others += tuple(others)
    return first


class InvalidInputError(RollwayError):
    """The caller's words or manifests are wrong; nothing was changed."""

    exit_code = 2


class WeightError(InvalidInputError):
    """A weight that cannot be read, or is outside 0..total."""


class ManifestError(InvalidInputError):
    """A manifest with faults; `faults` holds every one of them. The subject is the `ObjectRef` of an object, or a text."""

    def __init__(self, subject: object, faults: Sequence[str | Fault]) -> None:
        self.faults = tuple(fault if isinstance(fault, Fault) else Fault(fault) for fault in faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__("\n  ".join([f"{subject} has {count}:", *map(str, self.faults)]), ref=subject)


class DuplicateObjectError(InvalidInputError):
    """The same object (group, kind, namespace, name) stands in two places."""


class InvalidBackendError(RollwayError):
    """A backend that another distribution brings cannot be used; the message names both."""


class NotFoundError(RollwayError):
    """An object, route or section that must exist does not."""


class NotServedError(NotFoundError):
    """The cluster does not serve the kind; the message names the CustomResourceDefinition that is missing."""


class RefusedError(RollwayError):
    """The change is unsafe; `reasons` holds every reason: findings, or faults of a manifest.

    `lines` are how the message gives the reasons, where that is more than their own text.
    """

    exit_code = 4

    def __init__(
        self,
        message: str,
        *,
        reasons: Sequence[Finding | Fault] = (),
        lines: Sequence[str] = (),
        hint: str = "",
        ref: object = None,
        value: str = "",
    ) -> None:
        self.reasons = tuple(reasons)
        text = "\n  ".join([message, *(lines or map(str, self.reasons))])
        super().__init__(text, hint=hint, ref=ref, value=value)


class UnsupportedError(RefusedError):
    """The backend or store lacks the feature that was asked for."""


class AmbiguousError(RefusedError):
    """More than one object or route matches, and rollway does not guess."""


class UnknownRolesError(AmbiguousError):
    """Nothing shows which pods are stable, or which are the canary."""


class ForeignOwnerError(RefusedError):
    """A managed object exists already and belongs to somebody else."""


class StalePlanError(RefusedError):
    """The objects or the wish are no longer those of the reviewed plan."""


class AdmissionError(RefusedError):
    """The API server, or an admission webhook or policy in it, refuses the object; the message has its words."""


class StoreError(RollwayError):
    """The store could not read or write."""


class ConflictError(StoreError):
    """Somebody else changed the object since it was read; nothing was written."""

    retryable = True


class UncertainError(ConflictError):
    """The answer to a write got lost, so only a fresh read shows whether it was stored."""


class ForbiddenError(StoreError):
    """The role lacks a verb on a resource in a namespace; the message names all three."""


class CredentialsError(StoreError):
    """There are no credentials for the API server, or it does not accept them (any more)."""


class UnreachableError(StoreError):
    """The API server did not answer, or answered with an error of its own, as often as it was asked."""

    retryable = True


class UnwritableError(StoreError):
    """The text of the object cannot take the change without touching other content."""


class ApplyError(RollwayError):
    """A plan failed after its first write; the message gives the exact state of every object.

    It is as `retryable` as the failure that it came from.
    """


class DegradedError(RollwayError):
    """A release that was waited for has failed; the message has its controller's words."""


class NotVerifiedError(RollwayError):
    """The asked level of evidence was not reached."""

    exit_code = 5


class NotReachedError(RollwayError):
    """A release did not get where it was waited for in time; the message says where it is."""

    exit_code = 5


def is_retryable(error: BaseException) -> bool:
    """Return whether the call that failed may succeed a moment later without a change by anybody."""
    return isinstance(error, RollwayError) and error.retryable
