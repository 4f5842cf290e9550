"""Blue-green by Services alone on a real API server: the patch, the memory, ready pods, `accepted`, and the least Role."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import manifests as m
from data_planes import running_pod
from harness.waiting import until
from running import rollway

if TYPE_CHECKING:
    from harness.namespace import Namespace

HASH = "rollouts-pod-template-hash"
BLUE, GREEN = "5d8f7", "7c9b4"


def put(namespace: Namespace, *hashes: str) -> None:
    """Create a shop, with one ready pod of each release that is named."""
    for number, pod_hash in enumerate(hashes, 1):
        labels = {"app": "shop", HASH: pod_hash}
        namespace.api.put(running_pod(f"pod-{pod_hash}", namespace.name, f"10.244.9.{number}", **labels))
    namespace.put(m.selecting("shop-stable", BLUE), m.selecting("shop-canary", GREEN), m.switched())
    endpoints(namespace, BLUE)


def endpoints(namespace: Namespace, pod_hash: str) -> None:
    """Let the active Service have the pod of a release, as the controller of EndpointSlices would."""
    listed = m.endpoint_slice("shop-stable", namespace.name)
    listed["endpoints"][0]["targetRef"]["name"] = f"pod-{pod_hash}"
    namespace.api.put(listed)


def selected(namespace: Namespace) -> tuple[str, dict[str, str]]:
    """Return the hash that the active Service selects, and what it remembers."""
    service = namespace.get("v1", "Service", "shop-stable")
    return service["spec"]["selector"][HASH], service["metadata"].get("annotations", {})


def test_a_switch_and_the_way_back(namespace: Namespace) -> None:
    """The Service of a cluster is patched and remembers the stable hash; `accepted` waits for its EndpointSlices."""
    put(namespace, BLUE, GREEN)
    early = rollway("switch", "shop", "canary", "--verify", "accepted", "--timeout", "0s")
    assert (early.code, "lack 1 of 1 ready pods" in early.stderr) == (5, True), early
    assert selected(namespace) == (
        GREEN,
        {"rollway.dev/stable-hash": BLUE, "rollway.dev/canary-hash": GREEN},
    )
    endpoints(namespace, GREEN)
    again = rollway("switch", "shop", "canary", "--verify", "accepted")
    assert again.code == 0, again
    assert rollway("switch", "shop", "stable").code == 0
    assert selected(namespace) == (BLUE, {})


def test_a_release_without_ready_pods_is_refused(namespace: Namespace) -> None:
    """Readiness goes by the hash: the users stay where they are."""
    put(namespace, BLUE)
    ran = rollway("switch", "shop", "canary")
    assert (ran.code, "endpoints-not-ready" in ran.stderr) == (4, True), ran
    assert selected(namespace) == (BLUE, {})


def test_the_least_role_is_enough(namespace: Namespace) -> None:
    """With what `rbac` prints, and no more, a ServiceAccount switches there and back."""
    put(namespace, BLUE, GREEN)
    metadata = {"name": "ci", "namespace": namespace.name}
    namespace.api.put({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    account = namespace.kubeconfig_with("ci", token=namespace.api.token(namespace.name, "ci"))
    words = ("switch", "shop", "canary", "--kubeconfig", str(account))
    assert "lacks the verb" in rollway(*words).stderr
    printed = rollway("rbac", "shop", "--serviceaccount", "ci", "-o", "json")
    for manifest in json.loads(printed.stdout)["items"]:
        namespace.api.put(manifest)
    until(lambda: rollway(*words).code == 0, "the Role is enough to switch", 20)
    assert selected(namespace)[0] == GREEN
    assert rollway("reset", "shop", "--kubeconfig", str(account)).code == 0
    assert selected(namespace) == (BLUE, {})
