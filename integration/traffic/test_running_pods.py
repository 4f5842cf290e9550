"""What only kubelets show: pods that become unready, are replaced or killed under traffic, and rollway in a pod itself."""

from __future__ import annotations

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import manifests as m
from harness import tools
from harness.process import rollway
from harness.waiting import until
from harness.workloads import Deployed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from data_planes import DataPlane
    from harness.namespace import Namespace
    from harness.providers import Cluster
    from harness.traffic import Shop

pytestmark = pytest.mark.kubelets


@pytest.fixture
def shop(cluster: Cluster, ingress_nginx: DataPlane, make_shop: Callable[..., Shop]) -> Shop:
    """A shop whose pods are run by kubelets."""
    if cluster.control_plane:
        pytest.skip("no kubelet runs pods beside the local API server: make integration-kind")
    return make_shop(ingress_nginx)


def deployed(shop: Shop) -> Deployed:
    """Return the Deployments of a shop."""
    assert isinstance(shop.workloads, Deployed)
    return shop.workloads


def test_the_examples_run(
    ingress_nginx: DataPlane, examples: Mapping[str, Namespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    """README's example moves its share of real requests, in the namespace and at the host that its manifests name."""
    monkeypatch.setenv("KUBECONFIG", str(examples["nginx"].kubeconfig))
    assert "verified: loaded" in rollway("set-weight", "shop", "20").stdout
    # Its Ingress has TLS, so plain requests are sent on to there unless TLS has ended before.
    headers = ("-H", "Host: shop.example.com", "-H", "X-Forwarded-Proto: https")
    words = (
        "--url",
        ingress_nginx.url,
        "--identify",
        "header:X-Version",
        "--requests",
        "2000",
        "--rate",
        "0",
    )
    done = rollway("verify", "shop", "20", *words, *headers)
    print(done.stdout)
    assert "matches (evidence: measured)" in done.stdout


def test_a_version_whose_pods_are_not_ready_gets_no_weight(shop: Shop) -> None:
    """A readiness probe that fails refuses the weight; `--wait` continues when it succeeds, and requests show it."""
    shop.endpoints("shop-canary", "canary", ready=False)
    refused = rollway("set-weight", "shop", "20", status=4)
    assert "endpoints-not-ready" in refused.stderr
    with ThreadPoolExecutor(1) as worker:
        waiting = worker.submit(rollway, "set-weight", "shop", "20", "--wait", "60s")
        time.sleep(1)
        assert not waiting.done()
        deployed(shop).set_ready("canary", ready=True)
        assert "verified: loaded" in waiting.result().stdout
    shop.require_share(20)


def test_a_version_that_becomes_unready_under_traffic(shop: Shop) -> None:
    """At 50 %, a canary that becomes unready costs no request: ingress-nginx sends all to stable until it is ready."""
    rollway("set-weight", "shop", "50")
    with shop.load() as samples:
        shop.endpoints("shop-canary", "canary", ready=False)
        shop.settled_share(0)
        shop.endpoints("shop-canary", "canary", ready=True)
        shop.settled_share(50)
    _require_no_failure(samples)


def test_a_deployment_that_is_rolled_out_during_a_ramp(shop: Shop) -> None:
    """While all pods of the canary are replaced, a ramp completes, and no request is lost."""
    pods = deployed(shop)
    pods.deploy("canary", replicas=2)
    before = {pod["metadata"]["name"] for pod in pods.pods("canary")}
    with shop.load() as samples, ThreadPoolExecutor(1) as worker:
        words = ("ramp", "shop", "0..100", "--step", "20", "--every", "2s", "--output", "json")
        ramp = worker.submit(rollway, *words)
        until(lambda: ("canary", 1) in shop.sample(1).versions, "the ramp has begun")
        pods.deploy("canary", replicas=2, REVISION="2")
        steps = ramp.result().stdout
        shop.settle()
    assert steps.count('"evidence": "loaded"') == 5, steps
    assert before.isdisjoint(pod["metadata"]["name"] for pod in pods.pods("canary"))
    _require_no_failure(samples)
    shop.require_share(100)


def test_a_pod_that_is_killed_under_traffic(cluster: Cluster, shop: Shop) -> None:
    """One of two canary pods is killed: few requests fail, the share stays, and so does the verdict.

    ingress-nginx tries a request again elsewhere, but not for ever; how many it gives up is its affair, and printed.
    """
    if cluster.node is None:
        pytest.skip(f"--cluster={cluster.provider} has no node whose processes can be reached")
    pods = deployed(shop)
    pods.deploy("canary", replicas=2)
    rollway("set-weight", "shop", "50")
    victim = pods.pods("canary")[0]
    with shop.load() as samples:
        time.sleep(1)
        cluster.node.run(
            "kill", "-KILL", *cluster.node.processes(victim["metadata"]["uid"], "/usr/local/bin/echo")
        )
        rollway("verify", "shop", "50")
        shop.require_share(50)
        pods.available("canary")
    (again,) = (pod for pod in pods.pods("canary") if pod["metadata"]["uid"] == victim["metadata"]["uid"])
    assert again["status"]["containerStatuses"][0]["restartCount"] == 1
    answered, failed = (sum(getattr(sample, key) for _, sample in samples) for key in ("answered", "failed"))
    print(f"a pod killed: {failed} of {answered + failed} requests failed")
    assert failed < answered / 100


def test_services_that_are_switched_under_traffic(shop: Shop) -> None:
    """Without a router, the active Service leads all users to the other release and back, and no request is lost."""
    for version in ("stable", "canary"):
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"shop-{version}"}}
        selector = m.selecting("", version)["spec"]["selector"]
        shop.namespace.api.edit(
            m.placed(service, shop.namespace.name),
            lambda live, selector=selector: live["spec"].update(selector=selector),  # type: ignore[misc]
        )
    shop.namespace.put(m.switched())
    with shop.load() as samples:
        for target, weight in (("canary", 100), ("stable", 0)):
            assert "verified: accepted" in rollway("switch", "shop", target, "--verify", "accepted").stdout
            shop.settle()
            shop.require_share(weight)
    _require_no_failure(samples)


def _require_no_failure(samples: list[Any]) -> None:
    failures = [sample.failures for _, sample in samples if sample.failures]
    print(f"{sum(sample.answered for _, sample in samples)} requests, failed: {failures or 'none'}")
    assert not failures
    assert len(samples) > 20


def test_a_job_in_the_cluster_needs_no_kubeconfig_and_the_least_role(cluster: Cluster, shop: Shop) -> None:
    """As an unprivileged user on a read-only root file system, rollway's image sets a weight with what `rbac` prints, and no more."""
    if not cluster.rollway_image:
        pytest.skip("name an image of rollway with --rollway-image")
    space = shop.namespace
    space.api.put(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "ci", "namespace": space.name}}
    )
    refused = _job(cluster, space, "without", "set-weight", "shop", "30")
    assert refused.endswith("(exit status 1)"), refused
    assert "the role lacks the verb" in refused
    printed = rollway("rbac", "shop", "--serviceaccount", "ci", "--data-plane", "ingress-nginx", "-o", "json")
    for manifest in json.loads(printed.stdout)["items"]:
        space.api.put(manifest)
    words = ("--data-plane", "ingress-nginx")
    done = _job(cluster, space, "with", "set-weight", "shop", "30", *words)
    assert done.endswith("(exit status 0)"), done
    assert "verified: loaded (ingress-nginx at pod ingress-nginx/" in done
    shop.require_share(30)
    done = _job(cluster, space, "again", "status", "shop", *words)
    assert "30 of 100, 30 %" in done


def _job(cluster: Cluster, space: Namespace, name: str, *words: str) -> str:
    """Run rollway in a Job to its end, and return what it printed and its exit status."""
    security = {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    container = {
        "name": "rollway",
        "image": cluster.rollway_image,
        "args": list(words),
        "securityContext": security,
    }
    pod = {"serviceAccountName": "ci", "restartPolicy": "Never", "containers": [container]}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": space.name},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}},
    }
    space.api.put(job)

    def status() -> Any:
        for item in space.api.items("v1", "Pod", space.name):
            if item["metadata"]["labels"].get("batch.kubernetes.io/job-name") == name:
                for container in item["status"].get("containerStatuses", ()):
                    return container["state"].get("terminated")
        return None

    until(status, f"Job {name} ends", 90)
    kubectl = [str(tools.kubernetes("kubectl").path()), "--kubeconfig", str(space.kubeconfig)]
    logs = subprocess.run([*kubectl, "logs", f"job/{name}"], capture_output=True, text=True, check=True)
    return f"{logs.stdout.strip()}\n(exit status {status()['exitCode']})"
