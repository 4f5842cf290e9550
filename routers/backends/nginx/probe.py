"""Evidence `loaded` from ingress-nginx: what the Lua balancer of each controller pod has.

Source: ingress-nginx, internal/nginx/main.go (the status port) and rootfs/etc/nginx/lua/{configuration,balancer}.lua.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rollway.routers.backends.nginx.ingresses import pairs, policy_of, stable_paths
from rollway.routers.objects import dig
from rollway.routers.probes.http import ask_each, fetch, summary, unknown
from rollway.routers.traffic import Evidence, ObjectVerdict, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rollway.routers.backends.nginx.policy import Policy
    from rollway.routers.model import Context, Rollout
    from rollway.routers.objects import ObjectRef
    from rollway.routers.probes.http import Address, Find
    from rollway.routers.traffic import Traffic, Verdict

WORKERS_S = 1.1
"""How long after the controller posted a configuration all workers have it: balancer.lua looks once a second."""
_POLICY = {
    "header": "header",
    "header_value": "headerValue",
    "header_pattern": "headerPattern",
    "cookie": "cookie",
}


@dataclass(frozen=True)
class IngressNginxProbe:
    """Ask the status port of every controller pod (10246 on its loopback, so through a port-forward).

    What a pod answers is what was posted to its workers. balancer.lua compares the times of posts in whole seconds, so of
    two posts in one second workers can keep the older. That takes a `--sync-rate-limit` r above 1 (default: 0.3), or a reload
    of more than 1/r - 1 seconds before the older post, which then comes late. Nothing shows which a worker has: measure there.
    """

    find: Find
    """Where every pod is."""
    evidence: Evidence = Evidence.LOADED
    backends: frozenset[str] = frozenset({"nginx"})

    def judge(self, context: Context) -> Verdict:
        """Compare what each pod has with the canary Ingresses; looks twice, because workers follow in a second."""
        first = self._look(context)
        if first.outcome is not Outcome.MATCHES:
            return first
        time.sleep(WORKERS_S)
        return self._look(context)

    def _look(self, context: Context) -> Verdict:
        def look(address: Address) -> Verdict:
            return compare(fetch(address, "/configuration/backends"), context)

        return ask_each("ingress-nginx", self.find, context, _objects(context.rollout), look)


def compare(document: Any, context: Context) -> Verdict:
    """Compare the backends that one controller pod has with the Ingresses; needs no network."""
    rollout, want, _ = context
    upstreams = _read(document)
    if upstreams is None:
        return unknown(_objects(rollout), "answered something else than its backends")
    verdicts: list[ObjectVerdict] = []
    for stable, canary in pairs(rollout):
        differences = list(dict.fromkeys(_differences(upstreams, context, stable, canary)))
        outcome = Outcome.DIFFERS if differences else Outcome.MATCHES
        verdicts.append(ObjectVerdict(canary, outcome, "; ".join(differences) or _has(want)))
    return summary(verdicts)


def _has(want: Traffic) -> str:
    routes = "".join(f" and header route {route.name}" for route in want.header_routes)
    return f"has canary {want.split}{routes}"


def _objects(rollout: Rollout) -> list[ObjectRef]:
    return [canary for _, canary in pairs(rollout)]


def _read(document: Any) -> dict[str, dict[str, Any]] | None:
    """Return the controller's upstreams (it calls them backends) by name; None when the answer is something else."""
    if not isinstance(document, list):
        return None
    upstreams: dict[str, dict[str, Any]] = {}
    for upstream in document:
        name = dig(upstream, "name")
        if not isinstance(upstream, dict) or not isinstance(name, str):
            return None
        lists = (upstream.get("alternativeBackends"), upstream.get("endpoints"))
        if not all(value is None or isinstance(value, list) for value in lists):
            return None
        upstreams[name] = upstream
    return upstreams


def _differences(
    upstreams: dict[str, dict[str, Any]], context: Context, stable: ObjectRef, canary: ObjectRef
) -> Iterator[str]:
    rollout, want, live = context
    policy = policy_of(rollout, canary, live)
    for path in stable_paths(rollout, stable, live):
        primary = path.upstream(stable.namespace)
        alternative = path._replace(service=rollout.canary_service).upstream(canary.namespace)
        upstream = upstreams.get(primary)
        if upstream is None:
            yield f"has no upstream {primary}"
            continue
        if not upstream.get("endpoints"):
            yield f"has no endpoints for {primary}"
        attached = upstream.get("alternativeBackends") or []
        yield from _check_alternative(attached, alternative, upstreams, policy, want)


def _check_alternative(
    attached: Sequence[Any],
    alternative: str,
    upstreams: dict[str, dict[str, Any]],
    policy: Policy | None,
    want: Traffic,
) -> Iterator[str]:
    """Compare what is attached to one primary upstream; balancer.lua looks at the first alternative only."""
    used = attached[0] if attached else None
    if policy is None or (used is None and want.is_all_stable):
        if used == alternative:
            yield f"still has the canary {alternative}"
        return
    if used != alternative:
        yield f"uses {used or 'no canary'} instead of {alternative}"
        return
    upstream = upstreams.get(alternative)
    loaded = dig(upstream, "trafficShapingPolicy")
    if upstream is None or not isinstance(loaded, dict):
        yield f"has no canary upstream {alternative}"
        return
    weight, total = loaded.get("weight"), loaded.get("weightTotal")
    if type(weight) is not int or type(total) is not int:
        yield f"has no weight for {alternative}"
        return
    # balancer.lua counts out of 100 whatever total below it is given.
    if (weight, max(total, 100)) != (policy.weight, max(policy.total, 100)):
        yield f"has weight {weight} of {max(total, 100)} for {alternative}"
    for ours, theirs in _POLICY.items():
        if (loaded.get(theirs) or "") != getattr(policy, ours):
            yield f"has {theirs} {loaded.get(theirs)!r} for {alternative}"
    if not want.is_all_stable and not upstream.get("endpoints"):
        yield f"has no endpoints for {alternative}, so it sends all to stable"
