"""An SMI mesh: the controller of Traefik Mesh, which reads TrafficSplit v1alpha3, and Traefik as its proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import yaml

from data_planes import dump, echo, fetch
from harness import tools
from harness.control_plane import flags
from harness.daemon import Daemon

if TYPE_CHECKING:
    from pathlib import Path

    from data_planes import PodPorts
    from harness.api import Api
    from harness.providers import Cluster

NAMESPACE = "traefik-mesh"
_CONTROLLER, _PROXY_API, _PORT = 22000, 22001, 80


class SmiMesh:
    """One controller and one proxy; the names of all shops lead to the proxy, as the mesh's DNS does it."""

    name: ClassVar[str] = "smi"
    settled_s: ClassVar[float] = 1.5

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{_PORT}"
        self.controller: Daemon | None = None
        self.proxy: Daemon | None = None

    def start(self, cluster: Cluster, api: Api, folder: Path) -> None:
        """Create the mesh's namespace and CRDs, and start both programs."""
        crds = (
            tools.module_folder("github.com/traefik/mesh", pinned_by="traefik-mesh")
            / "integration/testdata/crds"
        )
        api.install(
            crd
            for file in ("smi-specs.yaml", "smi-access.yaml")
            for crd in yaml.safe_load_all((crds / file).read_text())
            if crd
        )
        api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        words = {
            "kubeconfig": str(cluster.kubeconfig),
            "apihost": "127.0.0.1",
            "apiport": str(_CONTROLLER),
            "namespace": NAMESPACE,
        }
        command = [str(tools.traefik_mesh().path()), *flags(words)]
        self.controller = Daemon("traefik-mesh-controller", command, folder)
        self.controller.start()
        configuration = f"http://127.0.0.1:{_CONTROLLER}/api/configuration/current"
        self.controller.wait(lambda: fetch(configuration))
        hosts = folder / "hosts"
        hosts.write_text("".join(f"127.0.0.1 {name}\n" for name in ("localhost", *_names())))
        proxy = {
            "entrypoints.http-5000.address": f"127.0.0.1:{_PORT}",
            "entrypoints.http-5000.forwardedheaders.insecure": "true",
            "entrypoints.readiness.address": "127.0.0.1:22002",
            "entrypoints.traefik.address": f"127.0.0.1:{_PROXY_API}",
            "api.insecure": "true",
            "api.dashboard": "false",
            "ping": "true",
            "providers.http.endpoint": configuration,
            "providers.http.pollinterval": "100ms",
            "providers.providersthrottleduration": "100ms",
            "core.defaultrulesyntax": "v2",
            "global.checknewversion": "false",
            "global.sendanonymoususage": "false",
            "log.level": "INFO",
        }
        private = 'mount --bind "$0" /etc/hosts && exec "$@"'
        program = [str(tools.traefik().path()), *flags(proxy)]
        self.proxy = Daemon(
            "traefik", ["unshare", "--mount", "sh", "-c", private, str(hosts), *program], folder
        )
        self.proxy.start()
        self.proxy.wait(lambda: fetch(f"http://127.0.0.1:{_PROXY_API}/ping") == b"OK")

    def host(self, namespace: str) -> str:
        """Return the name by which clients in the mesh call a namespace's root service."""
        return f"shop.{namespace}.traefik.mesh"

    @property
    def loaded_options(self) -> tuple[str, ...]:
        """Nothing: an SMI mesh has no common way to show what it has loaded."""
        return ()

    @property
    def pod_ports(self) -> PodPorts:
        """None: rollway does not ask a mesh."""
        return {}

    def dump(self, folder: Path) -> None:
        """Write the controller's and the proxy's configuration, and both logs."""
        urls = {
            "controller.json": f"http://127.0.0.1:{_CONTROLLER}/api/configuration/current",
            "proxy.json": f"http://127.0.0.1:{_PROXY_API}/api/rawdata",
        }
        dump(folder, (self.controller, self.proxy), urls)

    def stop(self) -> None:
        """End both."""
        for daemon in (self.proxy, self.controller):
            if daemon:
                daemon.stop()


def _names() -> list[str]:
    """Return the names that the proxy resolves: there is no DNS in a sandbox, so every shop that there can be has its own."""
    namespaces = (SmiMesh.name, *(f"{SmiMesh.name}-{number}" for number in echo.NAMESPACES))
    services = ("shop", "shop-stable", "shop-canary")
    return [f"{service}.{namespace}.traefik.mesh" for namespace in namespaces for service in services]
