"""Releases under constant load in a cluster with kubelets: `rollway controller` runs there with what `rollway install` prints.

They mostly wait, so all of them begin with the first test, each in a namespace of its own.
"""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from containers import images
from data_planes.ingress_nginx import NAMESPACE as DATA_PLANE
from harness import tools
from harness.load import Load, wait_until_served
from harness.process import rollway
from harness.releasing import NGINX_CANARY, Shop, is_paused, serving_template, weights_of
from harness.waiting import until
from rollway.controller.install import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from data_planes import DataPlane
    from harness.api import Api
    from harness.providers import Cluster

pytestmark = pytest.mark.kubelets

OLD, NEW = images.echo("v1").name, images.echo("v2").name
INSTANCE = "released"
"""Other tests have controllers of their own for the instance id that is usual."""
PAUSE = {"pause": {"duration": 3}}


@pytest.fixture(scope="module")
def installed(cluster: Cluster, api: Api, ingress_nginx: DataPlane) -> Iterator[None]:
    """The controller, in a cluster that has the images of the shop."""
    if cluster.control_plane or not cluster.node:
        pytest.skip("the images are loaded into a node of ours that runs pods: make integration-kind")
    for version in ("v1", "v2"):
        cluster.node.load(images.echo(version).archive())
    words = ("--image", cluster.rollway_image, "--data-plane", DATA_PLANE, "--instance-id", INSTANCE)
    objects = list(yaml.safe_load_all(rollway("install", "--print", *words).stdout))
    for manifest in objects:
        api.apply(manifest, manager="test-user", force=True)
    (deployment,) = (each for each in objects if each["kind"] == "Deployment")
    until(lambda: available(api, deployment) == 2, "both replicas are available", 120)
    yield
    for manifest in objects:
        if manifest["kind"] not in ("CustomResourceDefinition", "Namespace"):
            api.delete(manifest)


def available(api: Api, deployment: dict[str, Any]) -> int:
    """Return how many pods of a Deployment are available."""
    status = (api.get(deployment) or {}).get("status") or {}
    return int(status.get("availableReplicas", 0))


class Releases:
    """What happens to a Rollout, by name, begun at once; when a test asks a second time, it happens anew."""

    def __init__(self, cluster: Cluster, api: Api, url: str) -> None:
        self._cluster = cluster
        self._api = api
        self._url = url
        self._threads = ThreadPoolExecutor(len(STORIES))
        self._begun: dict[str, Future[Load]] = {
            name: self._threads.submit(self._play, name, name) for name in STORIES
        }

    def load(self, name: str) -> Load:
        """Return the load that a release had from its beginning to its end."""
        begun = self._begun.pop(name, None)
        return begun.result() if begun else self._play(name, f"{name}-again")

    def stop(self) -> None:
        """Wait for what nobody has asked for."""
        self._threads.shutdown(cancel_futures=True)

    def _play(self, name: str, namespace: str) -> Load:
        web = Shop(self._api.client, namespace, ("stable", "canary"))
        until(lambda: web.get("ServiceAccount", "default"), "pods can be created")
        web.ingress()
        load = Load(self._url, web.host)
        STORIES[name](web, load)
        return load


@pytest.fixture(scope="module")
def releases(installed: None, cluster: Cluster, api: Api, ingress_nginx: DataPlane) -> Iterator[Releases]:
    """All releases of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(cluster.kubeconfig))
        begun = Releases(cluster, api, ingress_nginx.url)
        yield begun
        begun.stop()


def start(web: Shop, load: Load, strategy: dict[str, Any]) -> None:
    """Create the Rollout at its first version, and wait until users are served."""
    web.rollout(strategy, instance=INSTANCE, template=serving_template(OLD))
    web.wait_healthy(90)
    wait_until_served(load.url, load.host)


def require_share(web: Shop, load: Load, index: int, weight: int) -> None:
    """Wait for a pause, and require its weight to be loaded, and requests to have that share while it lasts."""
    status = web.wait(lambda status: is_paused(status, index), f"weight {weight}", 60)
    assert weights_of(status)["canary"]["weight"] == weight
    assert weights_of(status)["verified"]
    begin = end = time.monotonic()
    while is_paused(web.status, index) and end < begin + 3:
        end = time.monotonic()
        time.sleep(0.1)
    assert not load.off(weight, "v2", begin, end)


def require_only(web: Shop, load: Load, version: str, gone: str) -> None:
    """Wait until the pods of the other version are gone, and require all requests from then on to have this one."""
    until(lambda: web.is_gone(gone), f"the pods of {gone} are gone", 60)
    begin = time.monotonic()
    until(lambda: load.versions(begin).total() >= 100, "100 requests are answered")
    assert set(load.versions(begin)) == {version}


def canary(web: Shop, load: Load) -> None:
    """Release through two weights to the end."""
    steps = [{"setWeight": 20}, PAUSE, {"setWeight": 60}, PAUSE]
    start(web, load, {"canary": {**NGINX_CANARY, "steps": steps, "scaleDownDelaySeconds": 1}})
    with load:
        rollway("set", "image", "web", f"web={NEW}", "-n", web.namespace)
        require_share(web, load, 1, 20)
        require_share(web, load, 3, 60)
        web.wait_healthy(60)
        require_only(web, load, "v2", gone=OLD)


def abort(web: Shop, load: Load) -> None:
    """Abort at half of the traffic."""
    steps = [{"setWeight": 50}, {"pause": {}}]
    start(web, load, {"canary": {**NGINX_CANARY, "steps": steps, "abortScaleDownDelaySeconds": 1}})
    with load:
        rollway("set", "image", "web", f"web={NEW}", "-n", web.namespace)
        require_share(web, load, 1, 50)
        rollway("abort", "web", "-n", web.namespace)
        web.wait(lambda status: status.get("abort") and status.get("phase") == "Degraded", "aborted")
        require_only(web, load, "v1", gone=NEW)


def blue_green(web: Shop, load: Load) -> None:
    """Switch the active Service to the other release."""
    services = {"activeService": "stable", "previewService": "canary"}
    # Nobody can ask who follows the Services, and ingress-nginx does so after up to three seconds.
    start(web, load, {"blueGreen": {**services, "scaleDownDelaySeconds": 5}})
    with load:
        rollway("set", "image", "web", f"web={NEW}", "-n", web.namespace)
        web.wait_healthy(90)
        require_only(web, load, "v2", gone=OLD)


STORIES: dict[str, Callable[[Shop, Load], None]] = {
    "canary": canary,
    "abort": abort,
    "blue-green": blue_green,
}


def require_no_failure(load: Load) -> None:
    """Require that all of many requests were answered."""
    print(load)
    assert load.sent > 500
    assert not load.failures


def test_a_canary_through_ingress_nginx_loses_no_request(releases: Releases) -> None:
    """From `set image` to healthy, each weight is loaded, requests have its share, and none fails."""
    require_no_failure(releases.load("canary"))


def test_an_abort_in_mid_canary_loses_no_request(releases: Releases) -> None:
    """Aborted at half of the traffic, all users are with the old release again, and no request fails."""
    require_no_failure(releases.load("abort"))


def test_a_blue_green_switch_loses_no_request(releases: Releases) -> None:
    """The active Service leads all users to the new release, the old pods go, and no request fails."""
    require_no_failure(releases.load("blue-green"))


def test_its_role_is_enough(releases: Releases, cluster: Cluster) -> None:
    """With the printed rights alone nothing was refused, and ingress-nginx could be asked for what it has loaded."""
    del releases  # they have been played
    kubectl = [str(tools.kubernetes("kubectl").path()), "--kubeconfig", str(cluster.kubeconfig)]
    words = ("logs", "-n", NAMESPACE, "-l", f"app.kubernetes.io/instance=rollway-{INSTANCE}", "--tail=-1")
    logs = subprocess.run([*kubectl, *words], capture_output=True, text=True, check=True).stdout
    assert "this replica leads" in logs
    for refusal in ("forbidden", "lacks", "nginx cannot be asked", "Traceback"):
        assert refusal not in logs, logs[-4000:]
