"""What ingress-nginx counts of a Rollout's requests.

Source: ingress-nginx, rootfs/etc/nginx/lua/monitor.lua and internal/ingress/metric/collectors/socket.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.backends.nginx.ingresses import pairs, policy_of, stable_paths
from rollway.routers.model import CANARY, STABLE
from rollway.routers.probes.http import NoAnswerError
from rollway.routers.probes.prometheus import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live


def metric(rollout: Rollout, live: Live) -> Metric:
    """Return what ingress-nginx counts (`--enable-metrics`): `canary` is the upstream that took over, or empty.

    A redirect to https (308) is answered before that is decided.
    """
    names: set[tuple[str, str]] = set()
    canaries: set[str] = set()
    for stable, canary in pairs(rollout):
        policy = policy_of(rollout, canary, live)
        if policy and policy.choices:
            raise NoAnswerError(
                f"{canary} also chooses requests with {policy.choices}, which the metrics do not distinguish from those by weight"
            )
        names.add((stable.namespace, stable.name))
        canaries |= {
            path._replace(service=rollout.canary_service).upstream(canary.namespace)
            for path in stable_paths(rollout, stable, live)
        }

    def role(labels: Mapping[str, str]) -> str | None:
        def own(name: str) -> str:
            # Prometheus renames a label that the target has as well, unless its configuration honours it.
            return labels.get(f"exported_{name}", labels.get(name, ""))

        if (own("namespace"), own("ingress")) not in names or own("service") != rollout.stable_service:
            return None
        canary = labels.get("canary", "").strip("-")
        return CANARY if canary in canaries else canary or STABLE

    listed = "|".join(sorted(name for _, name in names)).replace(".", "[.]")
    selector = f'nginx_ingress_controller_requests{{ingress=~"{listed}",status!="308"}}'
    return Metric(selector, role, "status")
