"""What is to be done for one Rollout: writes in an order in which every prefix is safe, the status, events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from rollway.routers.objects import Manifest, ObjectRef
    from rollway.routers.traffic import SubsetHashes, Traffic


class Create(NamedTuple):
    """Create an object, whose name must be free."""

    manifest: Manifest


class Patch(NamedTuple):
    """Change an object by a JSON Patch (RFC 6902), whose tests hold what the decision rests on."""

    ref: ObjectRef
    operations: tuple[Mapping[str, Any], ...]


class Adopt(NamedTuple):
    """Make the Rollout the owner of a ReplicaSet that has none, if both are still there and the ReplicaSet has this version."""

    ref: ObjectRef
    version: str
    owners: tuple[Mapping[str, Any], ...]
    """All owners that it is to have."""

    @property
    def patch(self) -> Patch:
        """The JSON Patch for it."""
        version = {"op": "test", "path": "/metadata/resourceVersion", "value": self.version}
        owners = {"op": "add", "path": "/metadata/ownerReferences", "value": list(map(dict, self.owners))}
        return Patch(self.ref, (version, owners))


class Delete(NamedTuple):
    """Delete an object, if it is still the one with this uid and version."""

    ref: ObjectRef
    uid: str
    version: str


class Evict(NamedTuple):
    """Ask for the eviction of a pod; a PodDisruptionBudget may refuse it for now."""

    ref: ObjectRef


class SetTraffic(NamedTuple):
    """Write a wish into the routing objects, through `TrafficRouter`, with the roles as pod-template hashes.

    `subsets` are the hashes that the subsets of a router are to select; None where it leads to Services.
    """

    wish: Traffic
    stable: str
    canary: str
    subsets: SubsetHashes | None = None


Write: TypeAlias = Create | Adopt | Patch | Delete | Evict | SetTraffic


class ReleaseEvent(NamedTuple):
    """A Kubernetes Event about the Rollout; `type` is `Normal` or `Warning`."""

    type: str
    reason: str
    message: str


class Decision(NamedTuple):
    """What is to be done now.

    The writes come in order, and the first one that fails ends them. `status` is a JSON merge patch (RFC 7386) of the
    Rollout's status, written last; empty where nothing of it changes. `wish` is the traffic whose evidence is to be asked
    for, without waiting for it (None: there is no router, or nothing to ask).
    """

    writes: tuple[Write, ...] = ()
    status: Mapping[str, Any] = {}
    events: tuple[ReleaseEvent, ...] = ()
    look_again: datetime | None = None
    """When to decide again even if nothing changes."""
    wish: SetTraffic | None = None
    needs_default_template: bool = False
    """Whether the pod template with the API server's defaults has to be observed before anything can be decided."""
