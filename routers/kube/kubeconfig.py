"""The credentials of one API server: a kubeconfig's context, or those of the pod that the process runs in.

Read here, because the Kubernetes client library takes a tenth of a second to import; it is asked for what only it can
do, the tokens of exec plugins and auth providers. Sources: Kubernetes, "Organizing Cluster Access Using kubeconfig
Files" (of several files the first one to say something counts) and "client-go credential plugins".
"""

from __future__ import annotations

import base64
import os
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import yaml

from rollway.routers import yaml_loader
from rollway.routers.errors import CredentialsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_FOLDER = "(folder)"
"""Where an entry keeps the folder of its file, which the file names in it are relative to."""
_HINT = "give --dir PATH for manifests, or --kubeconfig, --context or KUBECONFIG for a cluster"


class Identity(NamedTuple):
    """Whom to act as; empty means as the credentials say. See Kubernetes, "User impersonation"."""

    user: str = ""
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, str], ...] = ()

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers of impersonation."""
        return [
            *([("Impersonate-User", self.user)] if self.user else []),
            *(("Impersonate-Group", group) for group in self.groups),
            *([("Impersonate-Uid", self.uid)] if self.uid else []),
            *((f"Impersonate-Extra-{quote(key, safe='')}", value) for key, value in self.extra),
        ]


class Credentials(NamedTuple):
    """Where an API server is, whom to trust, and who asks.

    `authorization` returns the header of that name, as it is now; empty where a certificate says who asks. `server_name`
    is the name in the server's certificate where it is not that of the host, `proxy` the URL of a proxy on the way.
    """

    host: str
    authorization: Callable[[], str]
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    proxy: str = ""
    namespace: str = "default"
    identity: Identity = Identity()


def load(kubeconfig: str | None = None, context: str | None = None) -> Credentials:
    """Return the credentials of a kubeconfig: the one given, else that of the environment, else those of the pod.

    Raises:
        CredentialsError: there are none, or they cannot be read.
    """
    path = kubeconfig or os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config")
    files = [os.path.expanduser(part) for part in path.split(os.pathsep) if part]
    files = [file for file in files if os.path.exists(file)]
    try:
        if not files and not (kubeconfig or context) and os.environ.get("KUBERNETES_SERVICE_HOST"):
            return _of_pod(os.environ)
        return _of_context(path, files, context)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise CredentialsError(f"{path} cannot be used: {type(error).__name__}: {error}") from error


def _of_pod(environment: Mapping[str, str]) -> Credentials:
    """Return the credentials of the pod's ServiceAccount. Source: Kubernetes, "Accessing the Kubernetes API from a Pod"."""
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
    address = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    token = os.path.join(_SERVICE_ACCOUNT, "token")
    with open(os.path.join(_SERVICE_ACCOUNT, "namespace"), encoding="utf-8") as stream:
        namespace = stream.read().strip() or "default"
    tls = ssl.create_default_context(cafile=os.path.join(_SERVICE_ACCOUNT, "ca.crt"))
    return Credentials(address, lambda: _bearer(token), tls, proxy=_proxy(address), namespace=namespace)


class _Files:
    """What several kubeconfigs hold together."""

    def __init__(self, files: Sequence[str]) -> None:
        self.current = ""
        self._entries: dict[tuple[str, str], dict[str, Any]] = {}
        for file in files:
            with open(file, encoding="utf-8") as stream:
                content = yaml_loader.load(stream.read()) or {}
            self.current = self.current or content.get("current-context") or ""
            for kind in ("context", "cluster", "user"):
                for entry in content.get(f"{kind}s") or ():
                    body = {**(entry.get(kind) or {}), _FOLDER: os.path.dirname(os.path.abspath(file))}
                    self._entries.setdefault((kind, entry["name"]), body)

    def entry(self, kind: str, name: str) -> dict[str, Any]:
        """Return an entry.

        Raises:
            CredentialsError: there is none of that name.
        """
        if (kind, name) not in self._entries:
            raise CredentialsError(
                f"no cluster to talk to: there is no {kind} {name!r} in the kubeconfig", hint=_HINT
            )
        return self._entries[kind, name]


def _of_context(path: str, files: Sequence[str], wanted: str | None) -> Credentials:
    if not files:
        raise CredentialsError(f"no cluster to talk to: {path} does not exist", hint=_HINT)
    config = _Files(files)
    name = wanted or config.current
    if not name:
        raise CredentialsError(f"no cluster to talk to: {path} names no current context", hint=_HINT)
    context = config.entry("context", name)
    cluster = config.entry("cluster", context["cluster"])
    user = config.entry("user", context["user"]) if context.get("user") else {}
    if user.get("exec") or user.get("auth-provider"):
        authorization, certificate, key = _of_plugin(path, name)
    else:
        authorization = _authorization(user)
        certificate, key = _pem(user, "client-certificate"), _pem(user, "client-key")
    host = str(cluster["server"]).rstrip("/")
    return Credentials(
        host,
        authorization,
        _tls(cluster, certificate, key) if host.startswith("https") else None,
        cluster.get("tls-server-name") or "",
        cluster.get("proxy-url") or _proxy(host),
        context.get("namespace") or "default",
        _identity(user),
    )


def _identity(user: Mapping[str, Any]) -> Identity:
    extra = [(key, value) for key, values in (user.get("as-user-extra") or {}).items() for value in values]
    return Identity(
        user.get("as") or "", tuple(user.get("as-groups") or ()), user.get("as-uid") or "", tuple(extra)
    )


def _authorization(user: Mapping[str, Any]) -> Callable[[], str]:
    if user.get("tokenFile"):
        file = os.path.join(user[_FOLDER], user["tokenFile"])
        return lambda: _bearer(file)
    header = f"Bearer {user['token']}" if user.get("token") else ""
    if user.get("username"):
        pair = f"{user['username']}:{user.get('password') or ''}"
        header = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return lambda: header


def _bearer(file: str) -> str:
    """Return the header for a token that is renewed in its file, as the ones mounted into pods are."""
    with open(file, encoding="utf-8") as stream:
        return f"Bearer {stream.read().strip()}"


def _of_plugin(path: str, context: str) -> tuple[Callable[[], str], str, str]:
    """Return the header, the certificate and the key that an exec plugin or an auth provider gives."""
    from kubernetes import client, config  # noqa: PLC0415 - 0.1 s that only plugins cost

    configuration = client.Configuration()
    try:
        config.load_kube_config(path, context, configuration, persist_config=False)  # type: ignore[no-untyped-call]
    except config.ConfigException as error:
        raise CredentialsError(f"{path}: context {context!r} gives no credentials: {error}") from error
    pair = [_text(file) if file else "" for file in (configuration.cert_file, configuration.key_file)]

    def authorization() -> str:
        # Asking renews a token that has run out.
        return configuration.auth_settings().get("BearerToken", {}).get("value") or ""

    if not authorization() and not pair[0]:
        raise CredentialsError(
            f"the credential plugin of context {context!r} in {path} gave no credentials",
            hint="run the command of the user's `exec` by hand to see why",
        )
    return authorization, pair[0], pair[1]


def _tls(cluster: Mapping[str, Any], certificate: str, key: str) -> ssl.SSLContext:
    """Return whom to trust, which is the system's choice unless the cluster says it, and the client's certificate."""
    authority = _pem(cluster, "certificate-authority")
    if cluster.get("insecure-skip-tls-verify"):
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    else:
        tls = ssl.create_default_context(cadata=authority or None)
    if certificate:
        import tempfile  # noqa: PLC0415 - what only certificates cost

        # Only files are taken; this one is gone before the first request.
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(f"{certificate}\n{key}")
            file.flush()
            tls.load_cert_chain(file.name)
    return tls


def _pem(entry: Mapping[str, Any], key: str) -> str:
    """Return a certificate or a key, which stands in the entry or in a file beside it; empty without either."""
    if entry.get(f"{key}-data"):
        return base64.b64decode(entry[f"{key}-data"]).decode()
    return _text(os.path.join(entry[_FOLDER], entry[key])) if entry.get(key) else ""


def _text(file: str) -> str:
    with open(file, encoding="utf-8") as stream:
        return stream.read()


def _proxy(host: str) -> str:
    """Return the proxy that the environment names for a server, as curl and kubectl read it."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return ""
    from urllib.parse import urlsplit  # noqa: PLC0415
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415

    url = urlsplit(host)
    return "" if proxy_bypass(url.netloc) else getproxies().get(url.scheme, "")
