"""A namespace for one test: objects in, stores and routers out."""

from __future__ import annotations

import base64
import contextlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import manifests as m
from harness.api import Api, like
from rollway.routers import yaml_loader
from rollway.routers.errors import NotFoundError
from rollway.routers.kube.connection import Connection
from rollway.routers.lookup import read_rollout
from rollway.routers.objects import ObjectRef, without_server_fields
from rollway.routers.router import TrafficRouter
from rollway.routers.stores.cluster import ClusterStore
from rollway.routers.testing.memory import Faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from harness.providers import Cluster
    from rollway.routers.objects import LiveObject, Manifest
    from rollway.routers.plan import Change

KINDS = (
    ("argoproj.io/v1alpha1", "Rollout"),
    ("networking.k8s.io/v1", "Ingress"),
    ("networking.istio.io/v1", "VirtualService"),
    ("networking.istio.io/v1", "DestinationRule"),
    ("split.smi-spec.io/v1alpha3", "TrafficSplit"),
    ("specs.smi-spec.io/v1alpha3", "HTTPRouteGroup"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("gateway.networking.k8s.io/v1", "GRPCRoute"),
    ("gateway.networking.k8s.io/v1", "TLSRoute"),
    ("gateway.networking.k8s.io/v1", "TCPRoute"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("v1", "Service"),
    ("v1", "Pod"),
)
"""What the tests make; Services last, so that nothing is left without its own for long."""

_CREATED = ("Ingress", "TrafficSplit", "HTTPRouteGroup")
"""The kinds of which rollway creates objects."""

_POD_TEMPLATE = {
    "metadata": {"labels": {"app": "shop"}},
    "spec": {"containers": [{"name": "app", "image": "app"}]},
}


class Namespace:
    """One namespace of the cluster, with an administrator's kubeconfig whose context is in it."""

    def __init__(self, cluster: Cluster, api: Api, name: str) -> None:
        self.cluster = cluster
        self.api = api
        self.name = name
        self.used = False
        self._folder = tempfile.TemporaryDirectory(prefix="rollway-ns-")
        api.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        self.kubeconfig = self._kubeconfig("admin", {})
        if not cluster.control_plane:
            # A controller would make it later, and no pod can be created before.
            place = {"name": "default", "namespace": name}
            api.put({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": place})

    def _kubeconfig(self, name: str, user: dict[str, Any], server: str = "") -> Path:
        config = yaml_loader.load(self.cluster.kubeconfig.read_text())
        current = self.cluster.context or config["current-context"]
        context = next(item["context"] for item in config["contexts"] if item["name"] == current)
        cluster = next(item["cluster"] for item in config["clusters"] if item["name"] == context["cluster"])
        if server:
            cluster = {"server": server}
        elif "certificate-authority" in cluster:
            path = self.cluster.kubeconfig.parent / cluster.pop("certificate-authority")
            cluster["certificate-authority-data"] = base64.b64encode(path.read_bytes()).decode()
        known = next(item["user"] for item in config["users"] if item["name"] == context["user"])
        if server.startswith("http:") and not user and "token" not in known:
            pytest.skip("whoever has a certificate and no token cannot be passed on by a proxy")
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": name, "user": user or known}],
            "contexts": [
                {"name": name, "context": {"cluster": "test", "user": name, "namespace": self.name}}
            ],
        }
        path = Path(self._folder.name) / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(json.dumps(content))
        return path

    def kubeconfig_with(self, name: str, token: str = "", server: str = "") -> Path:
        """Return a kubeconfig in this namespace for another token, or for another address of the same server."""
        return self._kubeconfig(name, {"token": token} if token else {}, server)

    def put(self, *manifests: Manifest, ready: int = 1) -> None:
        """Create the objects here; each Service gets an EndpointSlice with so many ready endpoints (0: none at all)."""
        self.used = True
        for manifest in manifests:
            placed = complete(m.placed(manifest, self.name))
            if placed["kind"] == "Service" and not self.cluster.control_plane:
                # Its pods are written down below, and a controller that looks for others writes slices of its own.
                placed["spec"] = {key: value for key, value in placed["spec"].items() if key != "selector"}
            self.api.put(placed)
            if manifest["kind"] == "Service" and ready:
                self.ready(manifest["metadata"]["name"], ready, ports=manifest["spec"]["ports"])
            if manifest["kind"] == "DestinationRule" and ready:
                self._ready_subsets(manifest, ready)

    def ready(self, service: str, ready: int, unready: int = 0, ports: Any = None) -> None:
        """Set how many endpoints of a Service are ready."""
        listed = [{"name": port.get("name", ""), "port": 8080} for port in ports or [{"name": "http"}]]
        self.api.put(m.endpoint_slice(service, self.name, ready=ready, unready=unready, ports=listed))

    def _ready_subsets(self, rule: Manifest, ready: int) -> None:
        host, subsets = rule["spec"]["host"], rule["spec"]["subsets"]
        self.ready(host, ready * len(subsets))
        for index, subset in enumerate(subsets * ready):
            self.api.put(m.pod(f"{host}-{index}", self.name, **subset["labels"]))

    def objects(self) -> dict[ObjectRef, Manifest]:
        """Return every object of the test, without what only the server writes."""
        found: dict[ObjectRef, Manifest] = {}
        for version, kind in KINDS:
            group = version.rpartition("/")[0]
            with contextlib.suppress(NotFoundError):
                for item in self.api.items(version, kind, self.name):
                    ref = ObjectRef(group, kind, self.name, item["metadata"]["name"])
                    found[ref] = without_server_fields(item)
        return found

    def get(self, version: str, kind: str, name: str) -> Manifest:
        """Return an object, which must be there."""
        found = self.api.get(
            {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": self.name}}
        )
        assert found is not None, f"{kind} {name}"
        return found

    def events(self) -> list[Manifest]:
        """Return the Events that rollway wrote; the cluster's own controllers write theirs beside them."""
        found = self.api.items("v1", "Event", self.name)
        return [event for event in found if event.get("source", {}).get("component") == "rollway"]

    def store(self, **words: Any) -> ClusterStore:
        """Return a store for this namespace."""
        return ClusterStore.open(str(words.pop("kubeconfig", self.kubeconfig)), **words)

    def router(self, name: str = "shop", **words: Any) -> TrafficRouter:
        """Return a router for a Rollout here."""
        store = self.store(**words)
        return TrafficRouter(read_rollout(store, name, self.name), store)

    def bind(self, kind: str, role: str, user: str) -> None:
        """Give a user a Role or a ClusterRole in this namespace."""
        self.api.put(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": user, "namespace": self.name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
                "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}],
            }
        )

    def empty(self) -> None:
        """Delete every object of the test, also those with finalizers."""
        known = {*self.api.written(self.name), *_CREATED}
        for version, kind in KINDS:
            if self.cluster.control_plane and kind not in known:
                continue  # nobody but the test and rollway makes objects here
            with contextlib.suppress(NotFoundError):
                for item in self.api.clear(version, kind, self.name):
                    if item["metadata"].get("finalizers"):
                        self.api.merge(item, {"metadata": {"finalizers": None}})

    def delete(self) -> None:
        """Delete what the test made, and the namespace too where the cluster stays: a controller needs 120 requests for it."""
        self.empty()
        if not self.cluster.ends:
            self.api.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}})
        self.leave()

    def leave(self) -> None:
        """Delete the kubeconfigs, and leave what is in the cluster to it."""
        self._folder.cleanup()


def complete(manifest: Manifest) -> Manifest:
    """Give a Rollout of the tests the pod template that its CRD wants, and other objects the version that is served."""
    if manifest["kind"] in ("TrafficSplit", "TLSRoute", "TCPRoute"):
        version = next(version for version, kind in KINDS if kind == manifest["kind"])
        return {**manifest, "apiVersion": version}
    if manifest["kind"] != "Rollout":
        return manifest
    spec = {"selector": {"matchLabels": {"app": "shop"}}, "template": _POD_TEMPLATE, **manifest["spec"]}
    return {**manifest, "spec": spec}


class ClusterContractStore(Faults, ClusterStore):
    """A cluster store that the contract suite can look into, interfere with, and make fail."""

    def __init__(self, namespace: Namespace) -> None:
        Faults.__init__(self)
        ClusterStore.__init__(self, Connection(str(namespace.kubeconfig)))
        self._namespace = namespace

    @property
    def manifests(self) -> dict[ObjectRef, Manifest]:
        """Every object of the test, without what only the server writes."""
        return self._namespace.objects()

    def put(self, manifest: Manifest) -> object:
        """Store an object, as a foreign writer would."""
        self._namespace.put(manifest, ready=0)
        return None

    def edit(self, ref: ObjectRef, change: Callable[[Manifest], None]) -> None:
        """Change an object, as a foreign writer would."""
        self._namespace.api.edit(like(ref, VERSIONS[ref.group]), change)

    def remove(self, ref: ObjectRef) -> None:
        """Delete an object, as a foreign writer would."""
        self._namespace.api.delete(like(ref, VERSIONS[ref.group]))

    def write(self, change: Change, *, dry_run: bool = False) -> LiveObject | None:
        """Make one change, after whatever the test has to do with it."""
        self.log.append(change)
        self.interfere(change)
        stored = super().write(change, dry_run=dry_run)
        self.answer(change)
        return stored


VERSIONS = {version.rpartition("/")[0]: version.rpartition("/")[2] for version, _ in KINDS}


def contract_store(namespace: Namespace, manifests: Iterable[Manifest]) -> ClusterContractStore:
    """Return a store on a namespace that holds these objects, with ready endpoints, and no others."""
    if namespace.used:
        namespace.empty()
    namespace.put(*manifests)
    return ClusterContractStore(namespace)
