"""A cluster as the controller sees it: kept in memory by watches, written through the API server, own writes seen at once."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from rollway.controller.decision import Adopt, Create, Delete, Evict, Patch
from rollway.controller.owners import is_controlled, may_adopt, refuse_gone
from rollway.controller.projections import (
    kept_endpoints,
    kept_pod,
    kept_service,
    service_names,
    without_managers,
)
from rollway.controller.world import Pod, ReplicaSet, World
from rollway.routers.backends.endpoints import SERVICE_LABEL
from rollway.routers.errors import ConflictError, NotFoundError, RollwayError, UnreachableError
from rollway.routers.kube.client import JSON_PATCH, MERGE_PATCH, Target
from rollway.routers.kube.informer import Informer
from rollway.routers.model import HASH_LABEL, INSTANCE_LABEL
from rollway.routers.objects import dig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from rollway.controller.events import EventRecorder
    from rollway.controller.projections import Endpoints
    from rollway.controller.world import Pod
    from rollway.routers.kube.cache import ObjectChange
    from rollway.routers.kube.client import Client
    from rollway.routers.objects import Manifest

_WORKLOADS = {"Deployment": "apps", "ReplicaSet": "apps", "PodTemplate": ""}

_logger = logging.getLogger(__name__)


class WatchedCluster:
    """Observe and write the objects of Rollouts; safe to use from many threads.

    `namespace` limits everything to one namespace. `instance_id` chooses the Rollouts that have it as a label; an empty one
    those without the label, which are those of Argo's own controller too. `changed` is called with the namespace and the
    name of each Rollout that something has happened to; `pods_changed` in its place where that is its ReplicaSets, their pods,
    or what leads to them.
    """

    def __init__(
        self,
        client: Client,
        recorder: EventRecorder,
        changed: Callable[[str, str], None],
        *,
        namespace: str = "",
        instance_id: str = "",
        pods_changed: Callable[[str, str], None] | None = None,
    ) -> None:
        self._client = client
        self._pods_changed = pods_changed or changed
        self._recorder = recorder
        self._changed = changed
        self._namespace = namespace
        self._instance_id = instance_id
        self._lock = threading.Lock()
        self._default_templates: dict[str, tuple[str, Manifest]] = {}
        """By the UID of the Rollout: the generations that one is of, and the pod template."""
        self._naming: dict[tuple[str, str, str], dict[str, None]] = {}
        """By kind, namespace and name of an object: the Rollouts that name it."""
        label = f"{INSTANCE_LABEL}={instance_id}" if instance_id else f"!{INSTANCE_LABEL}"
        self.rollouts = self._informer(
            "argoproj.io", "Rollout", without_managers, self._rollout_changed, selector=label
        )
        self.replica_sets = self._informer(
            "apps", "ReplicaSet", without_managers, self._owned_changed, selector=HASH_LABEL
        )
        self.pods = self._informer("", "Pod", kept_pod, self._pod_changed, selector=HASH_LABEL)
        self.services = self._informer("", "Service", kept_service, self._service_changed)
        self.slices = self._informer(
            "discovery.k8s.io", "EndpointSlice", kept_endpoints, self._endpoints_changed
        )
        self._workloads: dict[str, Informer[Manifest]] = {}

    def _informer(
        self,
        group: str,
        kind: str,
        project: Callable[[Manifest], Any],
        changed: Callable[[ObjectChange[Any]], None],
        *,
        selector: str = "",
    ) -> Informer[Any]:
        return Informer(
            self._client, Target(group, kind, self._namespace, selector=selector), project, changed
        )

    def start(self) -> None:
        """List and watch everything; Rollouts last, so that each is first seen with all that belongs to it.

        Raises:
            StoreError: something cannot be listed.
        """
        for informer in self._informers:
            informer.start()

    @property
    def _informers(self) -> list[Informer[Any]]:
        return [
            self.replica_sets,
            self.pods,
            self.services,
            self.slices,
            *self._workloads.values(),
            self.rollouts,
        ]

    @property
    def synced(self) -> bool:
        """Whether the memory is as new as the watches."""
        return all(informer.synced for informer in self._informers)

    def stop(self) -> None:
        """End the watches, and wait for their threads."""
        for informer in self._informers:
            informer.stop()
        for informer in self._informers:
            informer.join()

    # -- what is observed

    def rollout(self, namespace: str, name: str) -> Manifest | None:
        """Return a Rollout with the instance id; None where there is none, or no longer."""
        found: Manifest | None = self.rollouts.get(namespace, name)
        if found and (found["metadata"].get("labels") or {}).get(INSTANCE_LABEL, "") != self._instance_id:
            # It was read by its name after a conflict, which asks for no label.
            self.rollouts.remove(namespace, name)
            return None
        return found

    def observe(self, namespace: str, name: str) -> World | None:
        """Return everything that is known about a Rollout but its traffic."""
        rollout = self.rollout(namespace, name)
        if rollout is None:
            return None
        replica_sets = tuple(ReplicaSet(each) for each in self._replica_sets(rollout))
        hashes = {each.pod_hash for each in replica_sets}
        services = {
            each: found for each in service_names(rollout) if (found := self.services.get(namespace, each))
        }
        workload = self._workload(rollout)
        of, learned = self._default_templates.get(rollout["metadata"]["uid"], ("", None))
        return World(
            rollout,
            replica_sets,
            services,
            {each: self._endpoints(namespace, each) for each in services},
            tuple(self.pods.labelled(HASH_LABEL, hashes, namespace)) if hashes else (),
            workload=workload,
            default_template=learned if of == _generations(rollout, workload) else None,
        )

    def _replica_sets(self, rollout: Manifest) -> Iterator[Manifest]:
        """Yield the ReplicaSets that a Rollout owns, and those without an owner that its selector selects."""
        metadata = rollout["metadata"]
        yield from self.replica_sets.owned(metadata["uid"])
        for each in self.replica_sets.orphans(metadata["namespace"]):
            if may_adopt(rollout, each):
                yield each

    def _endpoints(self, namespace: str, service: str) -> frozenset[str]:
        slices: list[frozenset[str]] = self.slices.labelled(SERVICE_LABEL, [service], namespace)
        return frozenset().union(*slices)

    def _workload(self, rollout: Manifest) -> Manifest | None:
        """Return the workload that a Rollout takes its template from; its kind is watched from the first one on."""
        reference = dig(rollout, "spec", "workloadRef")
        kind = dig(reference, "kind")
        if not reference or kind not in _WORKLOADS:
            return None
        with self._lock:
            informer = self._workloads.get(kind)
            if informer is None:
                informer = self._informer(_WORKLOADS[kind], kind, without_managers, self._workload_changed)
                self._workloads[kind] = informer
        informer.start()
        return informer.get(rollout["metadata"]["namespace"], reference.get("name", ""))

    def learn_default_template(self, world: World) -> None:
        """Let the API server fill in its defaults, by a dry run that creates a ReplicaSet of the template."""
        rollout, workload = world.rollout, world.workload
        metadata, spec = rollout["metadata"], rollout["spec"]
        template = dig(workload, "spec", "template") or dig(workload, "template") or spec.get("template")
        selector = spec.get("selector") or dig(workload, "spec", "selector")
        manifest = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": f"{metadata['name'][:200]}-dry-run", "namespace": metadata["namespace"]},
            "spec": {"replicas": 0, "selector": selector, "template": template},
        }
        answer = self._client.create(manifest, {"dryRun": "All"})
        learned = answer.body["spec"]["template"]
        self._default_templates[metadata["uid"]] = _generations(rollout, workload), learned

    # -- what is written

    def write(self, write: Create | Adopt | Patch | Delete | Evict) -> None:
        """Carry out one write, and remember what was stored.

        Raises:
            RollwayError: it was not, or nobody knows whether it was; the object is read anew before it is used again.
        """
        if isinstance(write, Adopt):
            refuse_gone(self._client, write)
            write = write.patch
        if isinstance(write, Create):
            self._remember(self._client.create(write.manifest).body)
            return
        target = Target(write.ref.group, write.ref.kind, write.ref.namespace, write.ref.name)
        informer = self._informer_of(write.ref.kind)
        try:
            if isinstance(write, Patch):
                self._remember(self._client.patch(target, list(write.operations), JSON_PATCH).body)
            elif isinstance(write, Delete):
                self._client.delete(target, {"uid": write.uid, "resourceVersion": write.version})
                if informer:
                    informer.remove(write.ref.namespace, write.ref.name)
            else:
                self._evict(write)
        except (ConflictError, NotFoundError):
            if informer:
                informer.suspect(write.ref.namespace, write.ref.name)
            raise

    def _evict(self, write: Evict) -> None:
        """Ask for an eviction; one that a PodDisruptionBudget refuses for now is asked for again later."""
        metadata = {"namespace": write.ref.namespace, "name": write.ref.name}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
        target = Target("", "Pod", write.ref.namespace, write.ref.name, "eviction")
        try:
            self._client.post(target, eviction)
            self.pods.suspect(write.ref.namespace, write.ref.name)  # it is going now, and counts no more
        except (NotFoundError, UnreachableError) as error:
            _logger.info("the eviction of pod %s waits: %s", write.ref.name, error.message)

    def replica_set(self, namespace: str, name: str) -> Manifest | None:
        """Return a ReplicaSet as it is now, whoever owns it, for the next look as well; None where there is none.

        Raises:
            RollwayError: it could not be read.
        """
        found: Manifest | None = self._client.get(Target("apps", "ReplicaSet", namespace, name))
        if found and HASH_LABEL in (found["metadata"].get("labels") or {}):
            self._remember(found)  # others are not watched
        return found

    def write_status(self, rollout: Manifest, patch: Mapping[str, Any]) -> None:
        """Patch the status of a Rollout, if it is still the one that was observed.

        Raises:
            RollwayError: it was not, or nobody knows whether it was.
        """
        metadata = rollout["metadata"]
        target = Target("argoproj.io", "Rollout", metadata["namespace"], metadata["name"], "status")
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": patch}
        try:
            self._remember(self._client.patch(target, body, MERGE_PATCH).body)
        except RollwayError:
            self.rollouts.suspect(metadata["namespace"], metadata["name"])
            raise

    def record(self, rollout: Manifest, event: Any) -> None:
        """Record an Event about a Rollout; never raises, and never waits."""
        self._recorder.record(rollout, event)

    def _informer_of(self, kind: str) -> Informer[Any] | None:
        kinds = {
            "Rollout": self.rollouts,
            "ReplicaSet": self.replica_sets,
            "Pod": self.pods,
            "Service": self.services,
        }
        return kinds.get(kind) or self._workloads.get(kind)

    def _remember(self, stored: Manifest) -> None:
        kept = self._informer_of(stored["kind"])
        if kept:
            kept.put(stored)

    # -- who is concerned

    def _rollout_changed(self, change: ObjectChange[Manifest]) -> None:
        before, after = (_named(item) if item else set() for item in (change.old, change.new))
        with self._lock:
            for kind, name in before - after:
                key = (kind, change.namespace, name)
                self._naming[key].pop(change.name, None)
                if not self._naming[key]:
                    del self._naming[key]
            for kind, name in after - before:
                self._naming.setdefault((kind, change.namespace, name), {})[change.name] = None
        self._changed(change.namespace, change.name)
        if change.new is None and change.old is not None:
            self._default_templates.pop(change.old["metadata"]["uid"], None)

    def _owned_changed(self, change: ObjectChange[Manifest]) -> None:
        for item in filter(None, (change.old, change.new)):
            for owner in item["metadata"].get("ownerReferences") or ():
                if owner.get("kind") == "Rollout":
                    self._pods_changed(change.namespace, owner["name"])
        if change.new is not None and not is_controlled(change.new):
            for rollout in self.rollouts.items(change.namespace):
                if may_adopt(rollout, change.new):
                    self._changed(change.namespace, rollout["metadata"]["name"])

    def _pod_changed(self, change: ObjectChange[Pod]) -> None:
        pod = change.new or change.old
        if pod is None:
            return
        for replica_set in self.replica_sets.labelled(HASH_LABEL, [pod.pod_hash], change.namespace):
            for owner in replica_set["metadata"].get("ownerReferences") or ():
                if owner.get("kind") == "Rollout":
                    self._pods_changed(change.namespace, owner["name"])

    def _service_changed(self, change: ObjectChange[Manifest]) -> None:
        self._report("Service", change.namespace, change.name, self._changed)

    def _endpoints_changed(self, change: ObjectChange[Endpoints]) -> None:
        item = change.new or change.old
        if item is not None and (
            change.old is None or change.new is None or set(change.old) != set(change.new)
        ):
            self._report("Service", change.namespace, item.service, self._pods_changed)

    def _workload_changed(self, change: ObjectChange[Manifest]) -> None:
        item = change.new or change.old
        if item is not None:
            self._report(item["kind"], change.namespace, change.name, self._changed)

    def _report(self, kind: str, namespace: str, name: str, report: Callable[[str, str], None]) -> None:
        """Report the Rollouts that name an object."""
        with self._lock:
            concerned = list(self._naming.get((kind, namespace, name), ()))
        for rollout in concerned:
            report(namespace, rollout)


def _named(rollout: Manifest) -> set[tuple[str, str]]:
    """Return kind and name of the objects that a Rollout names."""
    reference = dig(rollout, "spec", "workloadRef") or {}
    workload = (str(reference.get("kind")), str(reference.get("name")))
    return {workload, *(("Service", name) for name in service_names(rollout))}


def _generations(rollout: Manifest, workload: Manifest | None) -> str:
    """Return the generations that a pod template is of."""
    own = rollout["metadata"].get("generation")
    return f"{own}/{workload['metadata'].get('generation')}" if workload else str(own)
