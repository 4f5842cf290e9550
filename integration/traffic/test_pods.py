"""Without any address, rollway finds the data planes' pods itself, and asks them by port-forward."""

from __future__ import annotations

import json
import re
import signal
from typing import TYPE_CHECKING

import pytest

from harness.process import rollway
from harness.traffic import planes
from harness.waiting import until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from data_planes import DataPlane
    from data_planes.ingress_nginx import IngressNginx
    from harness.traffic import Shop


@planes("ingress_nginx", "istio", kubelets=["ingress_nginx"])
def test_the_default_is_loaded(plane: DataPlane, make_shop: Callable[..., Shop]) -> None:
    """`set-weight` and `verify` without options show `loaded`, and so do the next requests."""
    shop = make_shop(plane)
    for weight in (30, 100, 0):
        done = rollway("set-weight", "shop", str(weight))
        assert "verified: loaded (" in done.stdout, done.stdout
        assert "at pod " in done.stdout
        shop.require_share(weight)
    done = rollway("verify", "shop", "0")
    assert "matches (evidence: loaded)" in done.stdout
    assert not done.stderr


@pytest.mark.kubelets
def test_a_pod_that_lags_is_named(two_replicas: IngressNginx, make_shop: Callable[..., Shop]) -> None:
    """When one of two controller pods is stopped, the verdict is DIFFERS and names it; when none runs, this is the reason."""
    plane = two_replicas
    make_shop(plane)
    rollway("set-weight", "shop", "20", "--data-plane", "ingress-nginx")
    plane.replicas[1].pause(signal.SIGSTOP)
    try:
        done = rollway("set-weight", "shop", "60", "--timeout", "3s", status=5)
        lags = f"pod ingress-nginx/{plane.replicas[1].pod} has weight 20 of 100"
        assert lags in done.stderr
        reported = json.loads(rollway("status", "shop", "-o", "json").stdout)[0]
        assert (reported["asked"]["traffic"]["canary"], reported["asked"]["evidence"]) == (60, "written")
        assert (reported["traffic"]["canary"], reported["loaded"][0]["outcome"]) == (60, "differs")
        assert lags in reported["loaded"][0]["reason"]
        assert "not yet" in rollway("status", "shop").stdout
    finally:
        plane.replicas[1].pause(signal.SIGCONT)
    rollway("set-weight", "shop", "61")
    row = rollway("status", "shop").stdout.splitlines()[2]
    assert re.search(r"61 of 100, 61 % +61 of 100, 61 % +yes +loaded +now", row), row
    # When no pod can be asked any more, the evidence is the one that was reached before, with its age.
    done = rollway("status", "shop", "--data-plane", "nowhere")
    assert "note: loaded cannot be shown" in done.stderr
    assert re.search(r"61 of 100, 61 % +61 of 100, 61 % +- +loaded +(now|\d+s)", done.stdout), done.stdout
    done = rollway("set-weight", "shop", "70", "--data-plane", "nowhere")
    assert "verified: written" in done.stdout
    assert "no running pod of the nginx data plane was found in namespace nowhere" in done.stderr


def test_a_pod_that_cannot_be_reached_is_unknown(istio: DataPlane, make_shop: Callable[..., Shop]) -> None:
    """A gateway pod that does not answer on its admin port makes the verdict UNKNOWN and is named."""
    shop = make_shop(istio)
    pod = shop.namespace.api.get(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "istio-ingressgateway-0", "namespace": "istio-system"},
        }
    )
    assert pod is not None
    twin = {
        **pod,
        "metadata": {
            "name": "istio-ingressgateway-1",
            "namespace": "istio-system",
            "labels": pod["metadata"]["labels"],
        },
    }
    shop.namespace.api.put(twin)
    try:
        done = rollway("set-weight", "shop", "20", "--timeout", "1s", status=5)
        assert "unknown" in done.stderr
        assert "pod istio-system/istio-ingressgateway-1" in done.stderr
    finally:
        shop.namespace.api.delete(twin)
    rollway("set-weight", "shop", "30")


@pytest.mark.parametrize(
    ("plane", "system"),
    [
        pytest.param("ingress_nginx", "ingress-nginx", marks=pytest.mark.kubelets),
        ("istio_gateway", "istio-system"),
        pytest.param("traefik_gateway", "traefik", marks=pytest.mark.kubelets),
    ],
    indirect=["plane"],
)
def test_the_role_that_rbac_prints_is_enough(
    plane: DataPlane, system: str, make_shop: Callable[..., Shop]
) -> None:
    """With the rules of `rbac --data-plane` the evidence is `loaded`; without them `written`, and a note gives the reason."""
    space = make_shop(plane).namespace
    account = {"name": "ci", "namespace": space.name}
    space.api.put({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    kubeconfig = str(space.kubeconfig_with("ci", token=space.api.token(space.name, "ci")))

    def bind(*words: str) -> None:
        printed = rollway("rbac", "shop", "--serviceaccount", "ci", "-o", "json", *words)
        for manifest in json.loads(printed.stdout)["items"]:
            space.api.put(manifest)

    def change(weight: int) -> subprocess.CompletedProcess[str]:
        words = ("--kubeconfig", kubeconfig, "--data-plane", system)
        return rollway("set-weight", "shop", str(weight), *words)

    bind()
    until(lambda: "verified: written" in change(10).stdout, "the Role holds")
    assert "lacks the verb" in change(20).stderr
    bind("--data-plane", system)
    until(lambda: "verified: loaded" in change(30).stdout, "the larger Role holds")
    assert "loaded" not in change(30).stderr
