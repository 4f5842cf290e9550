"""Ask the API server who the caller is, and what the caller may do.

Source: Kubernetes, "Checking API Access" (SelfSubjectAccessReview), which every authenticated user may create.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.errors import NotFoundError
from rollway.routers.kube.failures import RequestInfo

if TYPE_CHECKING:
    from rollway.routers.kube.connection import Connection

_GROUP = "authorization.k8s.io"
_AUTHENTICATION = "authentication.k8s.io"


def is_allowed(
    connection: Connection, verb: str, resource: str, group: str = "", *, namespace: str = "", name: str = ""
) -> bool:
    """Return whether the caller may do something; `resource` is in the words of RBAC (`pods/portforward`).

    Raises:
        StoreError: the API server cannot be asked.
    """
    plural, _, subresource = resource.partition("/")
    attributes = {
        "verb": verb,
        "group": group,
        "resource": plural,
        "subresource": subresource,
        "namespace": namespace,
        "name": name,
    }
    review = {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    info = RequestInfo("create", "selfsubjectaccessreviews", _GROUP)
    answer = connection.request("POST", f"/apis/{_GROUP}/v1/selfsubjectaccessreviews", info, body=review)
    return answer.body.get("status", {}).get("allowed") is True


def user_name(connection: Connection) -> str:
    """Return the name by which the API server knows the caller; empty where it does not say (before Kubernetes 1.28).

    Source: Kubernetes, "API access to authentication information for a client" (SelfSubjectReview).

    Raises:
        StoreError: the API server cannot be asked.
    """
    review = {"apiVersion": f"{_AUTHENTICATION}/v1", "kind": "SelfSubjectReview"}
    info = RequestInfo("create", "selfsubjectreviews", _AUTHENTICATION)
    try:
        path = f"/apis/{_AUTHENTICATION}/v1/selfsubjectreviews"
        answer = connection.request("POST", path, info, body=review)
    except NotFoundError:
        return ""
    name = ((answer.body.get("status") or {}).get("userInfo") or {}).get("username")
    return name if isinstance(name, str) else ""
