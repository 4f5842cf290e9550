"""The credentials of one API server: a kubeconfig's context, or those of the pod that the process runs in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from rollway.routers.errors import CredentialsError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"


@dataclass(frozen=True)
class Identity:
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


def load(configuration: Any, kubeconfig: str | None, context: str | None) -> tuple[str, Identity]:
    """Fill the client's configuration; return the namespace and the impersonation that the context asks for.

    Raises:
        CredentialsError: there are no credentials, or they cannot be read.
    """
    import yaml  # noqa: PLC0415
    from kubernetes import config  # noqa: PLC0415

    path = kubeconfig or os.environ.get("KUBECONFIG") or os.path.expanduser("~/.kube/config")
    files = [os.path.expanduser(part) for part in path.split(os.pathsep) if part]
    try:
        if not any(os.path.exists(file) for file in files) and not (kubeconfig or context):
            config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
            return _pod_namespace(), Identity()
        chosen, namespace, identity = _context(files, context)
        config.load_kube_config(path, chosen, configuration, persist_config=False)  # type: ignore[no-untyped-call]
    except config.ConfigException as error:
        raise CredentialsError(
            f"no cluster to talk to: {path}: {error}",
            hint="give --dir PATH for manifests, or --kubeconfig, --context or KUBECONFIG for a cluster",
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise CredentialsError(f"{path} cannot be used: {type(error).__name__}: {error}") from error
    return namespace, identity


def _context(files: Sequence[str], wanted: str | None) -> tuple[str | None, str, Identity]:
    """Return the context's name, its namespace and the impersonation of its user; of several files, the first one to say it counts.

    Source: Kubernetes, "Organizing Cluster Access Using kubeconfig Files"; the Python client lets the last file choose
    the context, and knows no impersonation.
    """
    import yaml  # noqa: PLC0415

    contexts: dict[str, Any] = {}
    users: dict[str, Any] = {}
    for file in files:
        if not os.path.exists(file):
            continue
        with open(file, encoding="utf-8") as stream:
            content = yaml.safe_load(stream) or {}
        wanted = wanted or content.get("current-context") or None
        for entry in content.get("contexts") or ():
            contexts.setdefault(entry["name"], entry.get("context") or {})
        for entry in content.get("users") or ():
            users.setdefault(entry["name"], entry.get("user") or {})
    context = contexts.get(wanted or "", {})
    user = users.get(context.get("user", ""), {})
    extra = [(key, value) for key, values in (user.get("as-user-extra") or {}).items() for value in values]
    identity = Identity(
        user.get("as") or "", tuple(user.get("as-groups") or ()), user.get("as-uid") or "", tuple(extra)
    )
    return wanted, context.get("namespace") or "default", identity


def _pod_namespace() -> str:
    try:
        with open(_SERVICE_ACCOUNT, encoding="utf-8") as stream:
            return stream.read().strip() or "default"
    except OSError:
        return "default"
