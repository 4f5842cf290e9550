"""Port-forward to pods that cannot be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import manifests as m
from rollway.routers.errors import ForbiddenError, NotFoundError, RollwayError, UnreachableError

if TYPE_CHECKING:
    from harness.namespace import Namespace

pytestmark = pytest.mark.kubelets


def test_a_pod_that_is_not_there(namespace: Namespace) -> None:
    """The error names the pod."""
    with pytest.raises(NotFoundError, match="nobody"):
        namespace.store().forward(namespace.name, "nobody", 80, 3)


def test_a_pod_whose_node_does_not_answer(namespace: Namespace) -> None:
    """A pod on a node that the API server cannot reach is an error with the server's words, within the time."""
    namespace.api.put(m.pod("lost", namespace.name))
    with pytest.raises(RollwayError, match="lost"):
        namespace.store().forward(namespace.name, "lost", 80, 3)


def test_a_role_without_the_verb(namespace: Namespace) -> None:
    """The missing right is reported before the first try, and the try is refused."""
    namespace.api.put(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "ci", "namespace": namespace.name},
        }
    )
    kubeconfig = namespace.kubeconfig_with("ci", token=namespace.api.token(namespace.name, "ci"))
    store = namespace.store(kubeconfig=kubeconfig)
    assert not store.may_forward(namespace.name)
    assert namespace.store().may_forward(namespace.name)
    with pytest.raises(ForbiddenError, match="pods/portforward"):
        store.forward(namespace.name, "any", 80, 3)


def test_impersonation_holds_for_port_forward_too(namespace: Namespace) -> None:
    """The API server checks the rights of the impersonated user, and not those of the administrator."""
    with pytest.raises(ForbiddenError, match="jane"):
        namespace.store(user="jane").forward(namespace.name, "any", 80, 3)


def test_no_api_server(namespace: Namespace) -> None:
    """A server that does not exist is unreachable."""
    kubeconfig = namespace.kubeconfig_with("gone", server="https://127.0.0.1:1")
    with pytest.raises(UnreachableError, match="any"):
        namespace.store(kubeconfig=kubeconfig).forward(namespace.name, "any", 80, 3)
