"""Connections with TLS, and credentials as a server sees them."""

from __future__ import annotations

import base64
import json
import ssl
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from api_server import ApiServer, api_server

import manifests as m
from rollway.routers.errors import CredentialsError
from rollway.routers.kube.connection import Connection
from rollway.routers.kube.failures import RequestInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

trustme = pytest.importorskip("trustme")
pytestmark = pytest.mark.enable_socket
WEB = "/apis/networking.istio.io/v1/namespaces/default/virtualservices/web"


@pytest.fixture(scope="module")
def authority() -> Any:
    """A certificate authority."""
    return trustme.CA()


@pytest.fixture
def server(authority: Any) -> Iterator[ApiServer]:
    """A server whose certificate is for the name `kubernetes`, and which asks for one of the client."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("kubernetes").configure_cert(tls)
    authority.configure_trust(tls)
    tls.verify_mode = ssl.CERT_OPTIONAL
    with api_server(tls) as found:
        found.put(m.virtual_service(), "virtualservices")
        yield found


def ask(server: ApiServer, folder: Path, user: Any, **cluster: Any) -> dict[str, str]:
    """Read an object with these credentials, and return the headers that the server got."""
    config = {
        "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": server.address, **cluster}}],
        "users": [{"name": "fake", "user": user}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    connection = Connection(str(folder / "kubeconfig"), timeout=5.0)
    try:
        answer = connection.request("GET", WEB, RequestInfo("get", "virtualservices"))
    finally:
        connection.close()
    assert answer.body["metadata"]["name"] == "web"
    return server.headers


def test_the_authority_of_the_kubeconfig(server: ApiServer, authority: Any, tmp_path: Path) -> None:
    """A server is trusted by the authority and under the name that the kubeconfig gives, and not without them."""
    data = base64.b64encode(authority.cert_pem.bytes()).decode()
    named = {"certificate-authority-data": data, "tls-server-name": "kubernetes"}
    assert ask(server, tmp_path, {"token": "secret"}, **named)["Authorization"] == "Bearer secret"
    for less in ({"tls-server-name": "kubernetes"}, {"certificate-authority-data": data}):
        with pytest.raises(CredentialsError, match="cannot be trusted"):
            ask(server, tmp_path, {"token": "secret"}, **less)


def test_a_client_certificate_says_who_asks(server: ApiServer, authority: Any, tmp_path: Path) -> None:
    """It is offered to the server, which checks it, and no file of it is left behind."""
    ann = authority.issue_cert("ann@example.com")
    user = {
        "client-certificate-data": base64.b64encode(ann.cert_chain_pems[0].bytes()).decode(),
        "client-key-data": base64.b64encode(ann.private_key_pem.bytes()).decode(),
    }
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    cluster = {"certificate-authority": "ca.crt", "tls-server-name": "kubernetes"}
    assert "Authorization" not in ask(server, tmp_path, user, **cluster)
    stranger = trustme.CA().issue_cert("ann@example.com")
    user["client-certificate-data"] = base64.b64encode(stranger.cert_chain_pems[0].bytes()).decode()
    user["client-key-data"] = base64.b64encode(stranger.private_key_pem.bytes()).decode()
    with pytest.raises(CredentialsError):
        ask(server, tmp_path, user, **cluster)


def test_a_token_of_an_exec_plugin(tmp_path: Path) -> None:
    """The Kubernetes client library runs the plugin, and its token is sent."""
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "from-the-plugin"},
    }
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!{sys.executable}\nprint({json.dumps(credential)!r})\n")
    plugin.chmod(0o755)
    spec = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(plugin),
        "interactiveMode": "Never",
    }
    with api_server() as server:
        server.put(m.virtual_service(), "virtualservices")
        assert ask(server, tmp_path, {"exec": spec})["Authorization"] == "Bearer from-the-plugin"
        spec["command"] = str(tmp_path / "absent")
        with pytest.raises(CredentialsError, match="gave no credentials"):
            ask(server, tmp_path, {"exec": spec})
