"""What a weight means where a DestinationRule or a Service asks for session affinity.

Source: Istio, DestinationRule, LoadBalancerSettings: `consistentHash` chooses among the endpoints of one destination. The
destination itself is drawn by weight for each request (Istio, pilot/pkg/networking/core/route: no `use_hash_policy`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.backends.affinity import client_ip_services, session_affinity, unused_client_ip
from rollway.routers.backends.istio.virtual_service import rule_ref, stanza_of
from rollway.routers.objects import dig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.findings import Finding
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest
    from rollway.routers.traffic import Traffic


def check_affinity(rollout: Rollout, want: Traffic, live: Live) -> Iterator[Finding]:
    """Note affinity that does not keep users with a version, while both versions get requests.

    A DestinationRule is looked at where the Rollout names it, so for a split by subsets.
    """
    if not want.split.canary or not want.split.stable:
        return
    yield from unused_client_ip(client_ip_services(rollout, live), "Istio")
    rule, ref = stanza_of(rollout).destination_rule, rule_ref(rollout)
    if rule is None or ref is None:
        return
    names = _hashed(live[ref].manifest, (rule.stable_subset_name, rule.canary_subset_name))
    if names:
        yield session_affinity(
            ref,
            f"uses consistentHash for subset {' and '.join(names)}",
            "it chooses the pod after the version is chosen, so the weight is the share of all requests, and a user can get "
            "another version with each",
        )


def _hashed(rule: Manifest, subsets: Sequence[str]) -> list[str]:
    """Return those of the subsets whose pods are chosen by a hash; the policy of a subset goes before that of the host."""
    entries = dig(rule, "spec", "subsets") or []
    policies = {str(dig(entry, "name")): dig(entry, "trafficPolicy") for entry in entries}
    of_host = dig(rule, "spec", "trafficPolicy")
    return [name for name in subsets if name in policies and _hashes(policies[name], of_host)]


def _hashes(of_subset: Manifest | None, of_host: Manifest | None) -> bool:
    """Return whether the policies that hold for a subset ask for a hash, for all ports or for one."""
    for policy in (of_subset, of_host):
        ports = dig(policy, "portLevelSettings")
        settings = [
            dig(item, "loadBalancer") for item in (policy, *(ports if isinstance(ports, list) else ()))
        ]
        if any(settings):
            return any(dig(item, "consistentHash") for item in settings)
    return False
