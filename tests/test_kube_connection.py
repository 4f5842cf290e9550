"""What the client makes of answers, also of those that do not come: what is sent again, and what is uncertain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from api_server import ApiServer, Fault, api_server

import manifests as m
from rollway.routers.errors import (
    ConflictError,
    ForbiddenError,
    RollwayError,
    UncertainError,
    UnreachableError,
)
from rollway.routers.kube.connection import Connection
from rollway.routers.kube.failures import RequestInfo, failure

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.enable_socket
WRITE = RequestInfo("patch", "virtualservices", "networking.istio.io", "default", "web")
READ = WRITE._replace(verb="get")
WEB = "/apis/networking.istio.io/v1/namespaces/default/virtualservices/web"


@pytest.fixture(autouse=True)
def _virtual_service(server: ApiServer) -> None:
    """Let the server have one VirtualService."""
    server.put(m.virtual_service(), "virtualservices")


def patch(connection: Connection) -> Any:
    """Send a patch whose test holds only for the first time that it is stored."""
    body = [
        {"op": "test", "path": "/spec/http/0/route/0/weight", "value": 100},
        {"op": "replace", "path": "/spec/http/0/route/0/weight", "value": 80},
    ]
    return connection.request("PATCH", WEB, WRITE, body=body, content_type="application/json-patch+json")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("lost"),
        Fault("truncated"),
        Fault("garbled"),
        *(Fault("done-status", status) for status in (500, 502, 503, 504)),
        Fault("done-status", 503, headers={"Retry-After": "0"}),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
def test_a_write_whose_answer_got_lost_is_sent_once(
    fault: Fault, server: ApiServer, connection: Connection
) -> None:
    """It is uncertain; a second sending would be answered with a conflict about the first."""
    server.faults = [fault]
    with pytest.raises(UncertainError, match=r"virtualservices.*default/web was written is not known"):
        patch(connection)
    assert server.count("PATCH") == 1
    assert server.objects[WEB]["spec"]["http"][0]["route"][0]["weight"] == 80


def test_a_write_that_was_not_begun_is_sent_again(server: ApiServer, connection: Connection) -> None:
    """429 means that nothing was done, so it is repeated, and given up as unreachable and not as uncertain."""
    server.faults = [Fault("status", 429, headers={"Retry-After": "0"}, times=2)]
    assert patch(connection).status == 200
    assert server.count("PATCH") == 3
    server.faults = [Fault("status", 429, headers={"Retry-After": "0"}, times=99)]
    with pytest.raises(UnreachableError, match="429"):
        patch(connection)


def test_a_server_that_is_not_there_got_no_write(tmp_path: Path) -> None:
    """Where no connection is made nothing can have been written, whatever came before."""
    with api_server() as found:
        gone = Connection(found.kubeconfig(tmp_path), timeout=1.0)
    with pytest.raises(UnreachableError, match="does not answer"):
        patch(gone)


@pytest.mark.parametrize("kind", ["reset", "truncated", "garbled", "status"])
def test_a_read_is_repeated(kind: str, server: ApiServer, connection: Connection) -> None:
    """A read may be sent again whatever happened to it."""
    server.faults = [Fault(kind, 503, methods=("GET",))]
    assert connection.request("GET", WEB, READ).body["metadata"]["name"] == "web"
    assert server.count("GET") == 2


def test_a_review_is_a_read(server: ApiServer, connection: Connection) -> None:
    """What is created only to be answered may be sent again."""
    server.faults = [Fault("reset", methods=("POST",))]
    info = RequestInfo("create", "selfsubjectaccessreviews", "authorization.k8s.io")
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert connection.request("POST", path, info, body={"kind": "SelfSubjectAccessReview"}).status == 201


def test_an_owner_whose_deletion_may_not_be_blocked() -> None:
    """The error of OwnerReferencesPermissionEnforcement names the right that is missing."""
    message = (
        'ingresses.networking.k8s.io "web" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers '
        "to a resource you can't set finalizers on: , <nil>"
    )
    error = failure(WRITE, 403, {"message": message}, "https://cluster")
    assert isinstance(error, ForbiddenError)
    assert "verb update on the subresource finalizers" in str(error)


def test_a_conflict_is_not_uncertain(server: ApiServer, connection: Connection) -> None:
    """A patch whose test fails was not stored, and that is sure."""
    patch(connection)
    with pytest.raises(ConflictError) as caught:
        patch(connection)
    assert not isinstance(caught.value, UncertainError)
    assert isinstance(caught.value, RollwayError)
    assert server.count("PATCH") == 2
