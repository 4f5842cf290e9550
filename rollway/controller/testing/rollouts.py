"""Rollouts for a simulated world: simple ones to begin with, and random ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random

    from rollway.routers.objects import Manifest

KINDS = (
    "routed",
    "routed",
    "dynamic",
    "subsets",
    "ping-pong",
    "basic",
    "blue-green",
    "blue-green",
    "routed blue-green",
)


def rollout(strategy: Manifest, *, replicas: int = 4, **spec: Any) -> Manifest:
    """Return a Rollout `shop/web` with one container, whose image is `v1`; `spec` has further fields of its spec."""
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "v1"}]},
    }
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template,
            "strategy": strategy,
            **spec,
        },
    }


def deployment(*, replicas: int = 4) -> Manifest:
    """Return a Deployment `shop/web`, whose pods are those of `rollout`."""
    spec = rollout({}, replicas=replicas)["spec"]
    del spec["strategy"]
    metadata = {"name": "web", "namespace": "shop"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def referring(manifest: Manifest, scale_down: str = "never") -> Manifest:
    """Return a Rollout that takes its pod template from that Deployment."""
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "scaleDown": scale_down}
    spec = {key: value for key, value in manifest["spec"].items() if key != "template"}
    return {**manifest, "spec": {**spec, "workloadRef": reference}}


def routed_canary(*steps: Manifest, **fields: Any) -> Manifest:
    """Return a canary strategy with a router, the Services `stable` and `canary`, and steps."""
    body = {"stableService": "stable", "canaryService": "canary", "steps": list(steps), **fields}
    return {"canary": {"trafficRouting": {"nginx": {}}} | body}


SUBSETS: Manifest = {
    "istio": {
        "virtualService": {"name": "web"},
        "destinationRule": {"name": "web", "stableSubsetName": "stable", "canarySubsetName": "canary"},
    }
}


def by_subsets(*steps: Manifest, **fields: Any) -> Manifest:
    """Return a canary strategy whose router leads to subsets of one Service, so that no role has one of its own."""
    return {"canary": {"trafficRouting": SUBSETS, "steps": list(steps), **fields}}


def blue_green(**fields: Any) -> Manifest:
    """Return a blue-green strategy with `stable` as the active and `canary` as the preview Service."""
    return {"blueGreen": {"activeService": "stable", "previewService": "canary", **fields}}


def random_rollout(chance: random.Random) -> Manifest:
    """Return a Rollout of any strategy with any steps."""
    kind = chance.choice(KINDS)
    strategy = _random_blue_green(chance, kind) if "blue-green" in kind else _random_canary(chance, kind)
    further: Manifest = {"rollbackWindow": {"revisions": 2}} if chance.random() < 0.1 else {}
    if chance.random() < 0.2:
        further["revisionHistoryLimit"] = chance.choice([0, 2])
    if chance.random() < 0.1:
        term = {"preferredDuringSchedulingIgnoredDuringExecution": {"weight": 1}}
        next(iter(strategy.values()))["antiAffinity"] = term
    replicas = chance.choice([1, 2, 3, 4, 5, 10])
    manifest = rollout(strategy, replicas=replicas, progressDeadlineSeconds=60, **further)
    scale_down = chance.choice(["never", "onsuccess", "progressively"])
    return referring(manifest, scale_down) if chance.random() < 0.15 else manifest


def random_steps(chance: random.Random, *, routed: bool) -> list[Manifest]:
    """Return up to four weights, with pauses, canary scales and routes between them."""
    steps: list[Manifest] = []
    for _ in range(chance.randrange(5)):
        steps.append({"setWeight": chance.choice([0, 1, 5, 20, 25, 50, 80, 100])})
        lot = chance.random()
        if lot < 0.4:
            steps.append({"pause": {"duration": chance.choice([1, 5, 30])}})
        elif lot < 0.6:
            steps.append({"pause": {}})
        elif lot < 0.7 and routed:
            scales = [{"replicas": 2}, {"weight": 50}, {"matchTrafficWeight": True}]
            steps.append({"setCanaryScale": chance.choice(scales)})
        elif lot < 0.9 and routed:
            steps.append(_random_route(chance))
    return steps


def _random_route(chance: random.Random) -> Manifest:
    name, exact = chance.choice(["testers", "staff"]), {"exact": "yes"}
    header = [{"headerName": "x-test", "headerValue": exact}]
    return chance.choice(
        [
            {"setHeaderRoute": {"name": name, "match": header}},
            {"setHeaderRoute": {"name": name}},
            {"setMirrorRoute": {"name": "mirror", "percentage": 50, "match": [{"method": exact}]}},
            {"setMirrorRoute": {"name": "mirror"}},
        ]
    )


def _random_canary(chance: random.Random, kind: str) -> Manifest:
    if kind == "basic":
        body: Manifest = {
            "maxSurge": chance.choice([0, 1, "25%", "50%"]),
            "maxUnavailable": chance.choice([1, "25%"]),
        }
        if chance.random() < 0.5:
            body |= {"stableService": "stable", "canaryService": "canary"}
        return {
            "canary": body
            | {"steps": random_steps(chance, routed=False)}
            | _random_metadata(chance, "stable", "canary")
        }
    routes = [{"name": "testers"}, {"name": "staff"}, {"name": "mirror"}]
    body = {
        "trafficRouting": {**(SUBSETS if kind == "subsets" else {"nginx": {}}), "managedRoutes": routes},
        "steps": random_steps(chance, routed=True),
    }
    if kind == "ping-pong":
        body["pingPong"] = {"pingService": "stable", "pongService": "canary"}
    elif kind != "subsets" or chance.random() < 0.3:
        body |= {"stableService": "stable", "canaryService": "canary"}
    if kind == "dynamic" or (kind == "subsets" and chance.random() < 0.3):
        body["dynamicStableScale"] = True
    elif chance.random() < 0.3:
        body["scaleDownDelaySeconds"] = chance.choice([0, 5, 60])
    if chance.random() < 0.3:
        body["abortScaleDownDelaySeconds"] = chance.choice([0, 5])
    if chance.random() < 0.2:
        body["minPodsPerReplicaSet"] = 2
    if chance.random() < 0.2:
        body["scaleDownDelayRevisionLimit"] = 1
    return {"canary": body | _random_metadata(chance, "stable", "canary")}


def _random_blue_green(chance: random.Random, kind: str) -> Manifest:
    body: Manifest = {}
    if chance.random() < 0.3:
        body["autoPromotionEnabled"] = False
    elif chance.random() < 0.3:
        body["autoPromotionSeconds"] = chance.choice([1, 10])
    if chance.random() < 0.3:
        body["previewReplicaCount"] = 1
    if chance.random() < 0.3:
        body["scaleDownDelaySeconds"] = chance.choice([0, 5, 60])
    if kind.startswith("routed"):
        body["trafficRouting"] = chance.choice([{"nginx": {}}, SUBSETS])
    return blue_green(**body, **_random_metadata(chance, "active", "preview"))


def _random_metadata(chance: random.Random, stable: str, canary: str) -> Manifest:
    if chance.random() < 0.7:
        return {}
    return {
        f"{stable}Metadata": {"labels": {"role": "stable"}},
        f"{canary}Metadata": {"labels": {"role": "new", "preview": "yes"}},
    }
