"""Credentials: what a kubeconfig says about a server and about who asks, and what is wrong with one."""

from __future__ import annotations

import base64
import os
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rollway.routers.errors import CredentialsError
from rollway.routers.kube import kubeconfig
from rollway.routers.kube.kubeconfig import Credentials, load

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what the environment of the tests says."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
            monkeypatch.delenv(name)


def config(user: Any = None, cluster: Any = None, **context: Any) -> dict[str, Any]:
    """Return a kubeconfig with one context."""
    return {
        "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one", **context}}],
        "clusters": [{"name": "one", "cluster": {"server": "http://127.0.0.1:8080/", **(cluster or {})}}],
        "users": [{"name": "one", "user": user or {}}],
    }


def loaded(folder: Path, content: Any, context: str | None = None) -> Credentials:
    """Write a kubeconfig and load it."""
    file = folder / "config"
    file.write_text(yaml.safe_dump(content))
    return load(str(file), context)


def test_a_context(tmp_path: Path) -> None:
    """Server, namespace, token and impersonation are those of the context."""
    user = {"token": "secret", "as": "ann", "as-groups": ["red"], "as-user-extra": {"why": ["night"]}}
    credentials = loaded(tmp_path, config(user, namespace="shop"))
    assert (credentials.host, credentials.namespace) == ("http://127.0.0.1:8080", "shop")
    assert credentials.authorization() == "Bearer secret"
    assert credentials.identity.headers == [
        ("Impersonate-User", "ann"),
        ("Impersonate-Group", "red"),
        ("Impersonate-Extra-why", "night"),
    ]


def test_a_token_in_a_file_is_read_each_time(tmp_path: Path) -> None:
    """The file is named relative to the kubeconfig, and a token that is renewed in it counts."""
    (tmp_path / "token").write_text("first\n")
    credentials = loaded(tmp_path, config({"tokenFile": "token"}))
    assert credentials.authorization() == "Bearer first"
    (tmp_path / "token").write_text("second\n")
    assert credentials.authorization() == "Bearer second"


def test_a_name_and_a_password(tmp_path: Path) -> None:
    """Basic authentication, as some small clusters have it."""
    header = loaded(tmp_path, config({"username": "ann", "password": "x"})).authorization()
    assert header == f"Basic {base64.b64encode(b'ann:x').decode()}"


def test_tls_is_checked_unless_the_cluster_says_otherwise(tmp_path: Path) -> None:
    """The system's authorities count without one of the cluster; checking nothing has to be asked for."""
    secure = {"server": "https://127.0.0.1", "tls-server-name": "kubernetes"}
    credentials = loaded(tmp_path, config(cluster=secure))
    assert credentials.tls is not None
    assert (credentials.tls.verify_mode, credentials.tls.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert credentials.server_name == "kubernetes"
    credentials = loaded(tmp_path, config(cluster={**secure, "insecure-skip-tls-verify": True}))
    assert credentials.tls is not None
    assert (credentials.tls.verify_mode, credentials.tls.check_hostname) == (ssl.CERT_NONE, False)
    assert credentials.authorization() == ""
    with pytest.raises(CredentialsError, match="cannot be used: SSLError"):
        loaded(
            tmp_path,
            config(cluster={**secure, "certificate-authority-data": base64.b64encode(b"x").decode()}),
        )


def test_a_client_certificate(tmp_path: Path) -> None:
    """It may stand in the kubeconfig or in files beside it; what is none is an error that names the kubeconfig."""
    trustme = pytest.importorskip("trustme")
    issued = trustme.CA().issue_cert("ann@example.com")
    pem, key = issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()
    secure = {"server": "https://127.0.0.1"}
    inside = {
        "client-certificate-data": base64.b64encode(pem).decode(),
        "client-key-data": base64.b64encode(key).decode(),
    }
    assert loaded(tmp_path, config(inside, secure)).tls is not None
    (tmp_path / "ann.crt").write_bytes(pem)
    (tmp_path / "ann.key").write_bytes(key)
    beside = {"client-certificate": "ann.crt", "client-key": "ann.key"}
    assert loaded(tmp_path, config(beside, secure)).tls is not None
    with pytest.raises(CredentialsError, match="FileNotFoundError"):
        loaded(tmp_path, config({"client-certificate": "absent"}, secure))


def test_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the cluster counts before that of the environment, which may leave hosts out."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    assert loaded(tmp_path, config()).proxy == "http://proxy:3128"
    assert loaded(tmp_path, config(cluster={"proxy-url": "http://other:1"})).proxy == "http://other:1"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert loaded(tmp_path, config()).proxy == ""


def test_the_first_of_several_files_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entry, and the current context, is that of the first file that has it; an absent file is nothing."""
    first, second = config({"token": "first"}), config({"token": "second"}, namespace="second")
    del first["contexts"], first["clusters"], first["current-context"]
    for name, content in (("first", first), ("second", second)):
        (tmp_path / name).write_text(yaml.safe_dump(content))
    monkeypatch.setenv(
        "KUBECONFIG", os.pathsep.join(str(tmp_path / name) for name in ("none", "first", "second"))
    )
    credentials = load()
    assert (credentials.authorization(), credentials.namespace) == ("Bearer first", "second")


def test_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a kubeconfig, a pod has an address in its environment and three files."""
    trustme = pytest.importorskip("trustme")
    (tmp_path / "ca.crt").write_bytes(trustme.CA().cert_pem.bytes())
    (tmp_path / "token").write_text("mounted")
    (tmp_path / "namespace").write_text("shop\n")
    # In a pod the three files are at a fixed place, where a test must not write.
    monkeypatch.setattr(kubeconfig, "_SERVICE_ACCOUNT", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    for host, address in (("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")):
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
        credentials = load()
        assert (credentials.host, credentials.namespace) == (address, "shop")
        assert credentials.authorization() == "Bearer mounted"


@pytest.mark.parametrize(
    ("content", "context", "words"),
    [
        (config(), "absent", "there is no context 'absent'"),
        ({**config(), "clusters": []}, None, "there is no cluster 'one'"),
        ({**config(), "users": []}, None, "there is no user 'one'"),
        ({**config(), "current-context": ""}, None, "names no current context"),
        ({}, None, "names no current context"),
        ([1], None, "cannot be used: AttributeError"),
        ({**config(), "clusters": [{"name": "one"}]}, None, "cannot be used: KeyError: 'server'"),
    ],
)
def test_what_is_wrong_is_named(content: Any, context: str | None, words: str, tmp_path: Path) -> None:
    """A kubeconfig that lacks something is an error with its path or with what it lacks."""
    with pytest.raises(CredentialsError, match=words):
        loaded(tmp_path, content, context)


def test_no_kubeconfig(tmp_path: Path) -> None:
    """The error says what could be given instead."""
    with pytest.raises(CredentialsError, match=r"does not exist\n.*--dir PATH"):
        load(str(tmp_path / "none"))


def test_broken_yaml(tmp_path: Path) -> None:
    """A kubeconfig that cannot be read is named."""
    (tmp_path / "config").write_text("{")
    with pytest.raises(CredentialsError, match="config cannot be used"):
        load(str(tmp_path / "config"))
