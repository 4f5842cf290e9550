"""The pods of a shop: written down by hand where no kubelet runs, Deployments of `echo` where one does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from data_planes import echo, running_pod
from harness.waiting import until
from rollway.routers.kube.failures import RequestInfo
from rollway.routers.model import HASH_LABEL

if TYPE_CHECKING:
    from harness.namespace import Namespace
    from rollway.routers.objects import Manifest


class Workloads(Protocol):
    """Pods for Services, of which each has the version that its name ends in."""

    def prepare(self, *versions: str) -> None:
        """Start at once what would take its time one after the other."""
        ...

    def stop(self) -> None:
        """End the pods."""
        ...

    def serve(self, service: str, *versions: str, ready: bool = True) -> None:
        """Let a Service lead to the pods of these versions, and all of them be ready or none."""
        ...


class Written:
    """Pods and endpoints as objects only; `data_planes/echo.py` answers at their addresses."""

    def __init__(self, namespace: Namespace, number: int) -> None:
        self.namespace = namespace
        self.number = number

    def prepare(self, *versions: str) -> None:
        """Do nothing: there is nothing to start."""

    def stop(self) -> None:
        """Do nothing: they end with the other objects."""

    def serve(self, service: str, *versions: str, ready: bool = True) -> None:
        """Write them in an EndpointSlice, and in Endpoints for programs that know no other, with the Service's ports."""
        place = {"namespace": self.namespace.name}
        listed: list[dict[str, Any]] = []
        for version in versions:
            address = echo.address(self.number, version)
            labels = {"version": version, HASH_LABEL: version}
            self.namespace.api.put(running_pod(version, self.namespace.name, address, **labels))
            target = {"kind": "Pod", "name": version, **place}
            listed.append({"addresses": [address], "conditions": {"ready": ready}, "targetRef": target})
        addresses = [{"ip": item["addresses"][0], "targetRef": item["targetRef"]} for item in listed]
        ports = [
            {"name": port["name"], "port": port["targetPort"], "protocol": "TCP"}
            for port in self.namespace.get("v1", "Service", service)["spec"]["ports"]
        ]
        subset = {"addresses" if ready else "notReadyAddresses": addresses, "ports": ports}
        labels = {"kubernetes.io/service-name": service}
        self.namespace.api.put(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": f"{service}-slice", "labels": labels, **place},
                "addressType": "IPv4",
                "ports": ports,
                "endpoints": listed,
            }
        )
        self.namespace.api.put(
            {
                "apiVersion": "v1",
                "kind": "Endpoints",
                "metadata": {"name": service, **place},
                "subsets": [subset] if versions else [],
            }
        )


class Deployed:
    """One Deployment of `echo` for each version; kubelets run the pods, and report whether they are ready."""

    def __init__(self, namespace: Namespace, image: str) -> None:
        self.namespace = namespace
        self.image = image
        self._versions: set[str] = set()

    def prepare(self, *versions: str) -> None:
        """Create the Deployments of some versions, and wait for all of them."""
        for version in versions:
            self._apply(version)
        for version in versions:
            self.available(version)

    def stop(self) -> None:
        """Delete the Deployments; a controller deletes their pods."""
        self.namespace.api.clear("apps/v1", "Deployment", self.namespace.name)

    def serve(self, service: str, *versions: str, ready: bool = True) -> None:
        """Point the Service's selector at the version, and wait until its endpoints are as they should be."""
        (version,) = versions
        if version not in self._versions:
            self.deploy(version)
        like = self._like("v1", "Service", service)
        selector = {"app": "shop", "version": version}
        self.namespace.api.edit(like, lambda live: live["spec"].update(selector=selector))
        self.set_ready(version, ready=ready)
        until(lambda: self._any_ready(service) == ready, f"{service}: ready is {ready}")

    def deploy(self, version: str, replicas: int = 1, **environment: str) -> None:
        """Create or change the Deployment of a version, and wait until its pods are available."""
        self._apply(version, replicas, **environment)
        self.available(version)

    def _apply(self, version: str, replicas: int = 1, **environment: str) -> None:
        self._versions.add(version)
        like = self._like("apps/v1", "Deployment", version)
        spec = self._spec(version, replicas, environment)
        self.namespace.api.apply({**like, "spec": spec}, manager="test-user", force=True)

    def available(self, version: str) -> None:
        """Wait until all pods of a version run as its Deployment wants them now."""
        like = self._like("apps/v1", "Deployment", version)

        def complete() -> bool:
            live = self.namespace.api.get(like)
            assert live is not None
            status, wanted = live.get("status", {}), live["spec"]["replicas"]
            counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
            return counts == [wanted] * 3 and status["observedGeneration"] == live["metadata"]["generation"]

        until(complete, f"Deployment {version} is available", 90)

    def pods(self, version: str) -> list[Manifest]:
        """Return the pods of a version that are not about to end."""
        return [
            item
            for item in self.namespace.api.items("v1", "Pod", self.namespace.name)
            if item["metadata"]["labels"].get("version") == version
            and "deletionTimestamp" not in item["metadata"]
        ]

    def set_ready(self, version: str, *, ready: bool) -> None:
        """Set what each pod of a version answers to its readiness probe."""
        for pod in self.pods(version):
            place, name = self.namespace.name, pod["metadata"]["name"]
            path = f"/api/v1/namespaces/{place}/pods/{name}:{echo.PORT}/proxy/-/ready"
            info = RequestInfo("update", "pods/proxy", "", place, name)
            self.namespace.api.connection.request("PUT", path, info, query={"is": str(ready).lower()})

    def _any_ready(self, service: str) -> bool:
        return any(
            endpoint["conditions"]["ready"]
            for item in self.namespace.api.items("discovery.k8s.io/v1", "EndpointSlice", self.namespace.name)
            if item["metadata"]["labels"].get("kubernetes.io/service-name") == service
            for endpoint in item["endpoints"] or ()
        )

    def _like(self, api_version: str, kind: str, name: str) -> Manifest:
        metadata = {"name": name, "namespace": self.namespace.name}
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata}

    def _spec(self, version: str, replicas: int, environment: dict[str, str]) -> dict[str, Any]:
        labels = {"app": "shop", "version": version}
        # Argo's controller gives its pods a hash; here the version serves as one.
        pod_labels = {**labels, "rollouts-pod-template-hash": version}
        probe = {
            "httpGet": {"path": "/-/ready", "port": echo.PORT},
            "periodSeconds": 1,
            "failureThreshold": 1,
        }
        variables = {"VERSION": version, **environment}
        container = {
            "name": "echo",
            "image": self.image,
            "env": [{"name": name, "value": value} for name, value in variables.items()],
            "ports": [{"name": "http", "containerPort": echo.PORT}],
            "readinessProbe": probe,
            # ingress-nginx looks once a second, and until then sends requests to this pod.
            "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
        }
        return {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": pod_labels},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 15},
            },
        }
