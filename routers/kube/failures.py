"""What an API server's answer means when it is no success: one typed error for each kind of failure.

Source of the words: apimachinery, `pkg/api/errors/errors.go`, and kube-apiserver's admission plugins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.routers.errors import (
    AdmissionError,
    ConflictError,
    CredentialsError,
    ForbiddenError,
    ForeignOwnerError,
    NotFoundError,
    NotServedError,
    RollwayError,
    StoreError,
    UncertainError,
    UnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class RequestInfo(NamedTuple):
    """What a request is about, in the words of RBAC, for the error when it fails."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def reads(self) -> bool:
        """Whether it changes nothing, so that it may be sent again and a lost answer leaves nothing open.

        The reviews of authorization and authentication are created, and never stored.
        """
        return self.verb in ("get", "list", "watch") or self.resource.endswith("reviews")

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        if self.name:
            return f"{resource} {self.namespace + '/' if self.namespace else ''}{self.name}"
        return f"{resource} in namespace {self.namespace}" if self.namespace else resource


class ExpiredError(StoreError):
    """The version to watch from is gone; list again."""


def failure(  # noqa: C901, PLR0911 - one line for each kind of failure
    info: RequestInfo, status: int, body: Mapping[str, Any], host: str, wait: str = ""
) -> RollwayError:
    """Return the typed error for an answer that is no success; `wait` is its Retry-After."""
    message = str(body.get("message") or f"status {status}")
    reason, causes = str(body.get("reason", "")), _causes(body)
    if status == 401:
        return CredentialsError(
            f"{host} does not accept the credentials: {message}",
            hint="log in again, or check the kubeconfig's user",
        )
    if _is_admission(message):
        return AdmissionError(
            f"{info} is refused by the cluster: {message}", hint="ask the owner of the policy"
        )
    if status == 403 and " cannot " in message:
        return _forbidden_owner(info, message) or _forbidden(info, message)
    if status in (403, 422, 400):
        if status == 422 and not causes and "the server rejected our request" in message:
            return ConflictError(f"{info} has changed where the plan relies on it")
        return AdmissionError(f"{info} is refused by the API server: {message}")
    if status == 404:
        if not body.get("details") and not reason.startswith("NotFound"):
            return NotServedError(f"{host} does not serve {info.resource}.{info.group}: {message}")
        return NotFoundError(f"{info} not found: {message}")
    if status == 409:
        return _conflict(info, causes, message)
    if status == 410:
        return ExpiredError(f"{info}: {message}")
    if info.reads or status == 429:
        after = f", asking to wait {wait} s" if wait else ""
        return UnreachableError(f"{host} answered {status} to {info.verb} {info}{after}: {message}")
    return lost(info, host, f"it answered {status}: {message}")


def _causes(body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    details = body.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    return [cause for cause in causes if isinstance(cause, dict)] if isinstance(causes, list) else []


def _is_admission(message: str) -> bool:
    return message.startswith("admission webhook") or any(
        words in message
        for words in ("failed calling webhook", "ValidatingAdmissionPolicy", "denied the request")
    )


def _forbidden(info: RequestInfo, message: str) -> ForbiddenError:
    where = f"in namespace {info.namespace}" if info.namespace else "in the whole cluster"
    resource = f"{info.resource}.{info.group}" if info.group else info.resource
    # An apply that would create needs a second verb, which only the server's words name.
    verb = message.partition(" cannot ")[2].partition(" ")[0] or info.verb
    # Who may create by POST may create any name; RBAC knows none there.
    name = f" {info.name}" if info.name and info.verb != "create" else ""
    return ForbiddenError(
        f"the role lacks the verb {verb} on {resource}{name} {where}: {message}",
        hint="`rollway rbac NAME` prints the least role for a Rollout",
    )


def _forbidden_owner(info: RequestInfo, message: str) -> ForbiddenError | None:
    """Return the error of the admission plugin OwnerReferencesPermissionEnforcement, in the words of RBAC.

    Source: kube-apiserver, `plugin/pkg/admission/gc/gc_admission.go`.
    """
    if "cannot set blockOwnerDeletion" in message:
        lacking = "the verb update on the subresource finalizers of the owner"
    elif "cannot set an ownerRef" in message:
        lacking = "the verb delete"
    else:
        return None
    return ForbiddenError(
        f"the role lacks {lacking}, so {info} may not get this ownerReference: {message}",
        hint="the cluster enforces OwnerReferencesPermissionEnforcement; give the role that right",
    )


def _conflict(info: RequestInfo, causes: Sequence[Mapping[str, Any]], message: str) -> RollwayError:
    owned = [cause for cause in causes if cause.get("reason") == "FieldManagerConflict"]
    if not owned:
        return ConflictError(f"{info} has changed since it was read: {message}")
    # The message of a cause is `conflict with "NAME" [with subresource "S"] using VERSION`.
    fields = "; ".join(f"{cause.get('field')}: {cause.get('message')}" for cause in owned)
    return ForeignOwnerError(
        f"{info} has fields that another manager applied: {fields}",
        hint="let that manager give them up, or take them over with --adopt",
    )


def lost(info: RequestInfo, host: str, problem: str) -> RollwayError:
    """Return the error for a request whose answer did not come, or not whole."""
    if info.reads:
        return UnreachableError(f"{host} gave no whole answer ({info.verb} {info}): {problem}")
    return UncertainError(
        f"whether {info} was written is not known, because {host} gave no whole answer: {problem}",
        hint="run the same command again: it goes on from what is there",
    )
