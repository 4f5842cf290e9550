"""The Ingresses of a Rollout: each stable one of the user's with the canary one of ours, their paths and their policy."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from rollway.routers.backends.nginx import controller
from rollway.routers.backends.nginx.policy import read_canary
from rollway.routers.backends.nginx.stanza import NginxTrafficRouting
from rollway.routers.objects import ObjectRef

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.backends.nginx.controller import IngressPath
    from rollway.routers.backends.nginx.policy import Policy
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live

GROUP = "networking.k8s.io"
_NAME_LIMIT = 253


def canary_name(rollout: str, stable_ingress: str) -> str:
    """Return `<rollout>-<stableIngress>-canary`; a name over 253 characters is cut and gets a hash of the whole."""
    name = f"{rollout}-{stable_ingress}"
    if len(name) > _NAME_LIMIT - len("-canary"):
        digest = hashlib.sha256(f"{rollout}/{stable_ingress}".encode()).hexdigest()[:10]
        name = f"{name[: _NAME_LIMIT - len('-canary') - 11].rstrip('-.')}-{digest}"
    return f"{name}-canary"


def stanza_of(rollout: Rollout) -> NginxTrafficRouting:
    """Return the Rollout's stanza for ingress-nginx."""
    return rollout.stanza(NginxTrafficRouting)


def pairs(rollout: Rollout) -> Iterator[tuple[ObjectRef, ObjectRef]]:
    """Yield (stable Ingress, canary Ingress)."""
    for name in stanza_of(rollout).stable_ingresses:
        yield (
            ObjectRef(GROUP, "Ingress", rollout.namespace, name),
            ObjectRef(GROUP, "Ingress", rollout.namespace, canary_name(rollout.name, name)),
        )


def policy_of(rollout: Rollout, canary: ObjectRef, live: Live) -> Policy | None:
    """Return what a canary Ingress asks for; None where there is no such canary."""
    manifest = live.manifest(canary)
    if manifest is None:
        return None
    annotations = controller.annotations_of(canary, manifest)
    enabled, policy, _ = read_canary(annotations, stanza_of(rollout).annotation_prefix)
    return policy if enabled else None


def stable_paths(rollout: Rollout, stable: ObjectRef, live: Live) -> list[IngressPath]:
    """Return the paths of a stable Ingress that lead to the stable Service."""
    paths: list[IngressPath] | None = live.memo.get(stable)
    if paths is None:
        paths = live.memo[stable] = list(controller.read_paths(stable, live[stable].manifest))
    return [path for path in paths if path.service == rollout.stable_service]
