"""What a watched cluster asks the API server before a ReplicaSet is adopted."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from api_server import KINDS, ROLLOUTS, api_server

import manifests as m
from rollway.controller.decision import Adopt
from rollway.controller.events import EventRecorder
from rollway.controller.replica_sets import owner_reference
from rollway.controller.watched_cluster import WatchedCluster
from rollway.routers.errors import ConflictError
from rollway.routers.kube.connection import Connection
from rollway.routers.objects import ObjectRef
from rollway.routers.stores.cluster import ClusterStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from api_server import ApiServer

    from rollway.routers.objects import Manifest

pytestmark = pytest.mark.enable_socket
REPLICA_SET = ObjectRef("apps", "ReplicaSet", "default", "web-a")


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """An API server with a ReplicaSet that nobody owns."""
    with api_server() as found:
        found.kinds = KINDS | ROLLOUTS
        metadata = {"name": "web-a", "namespace": "default"}
        found.put(
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": {}}, "replicasets"
        )
        yield found


@pytest.fixture
def cluster(server: ApiServer, tmp_path: Path) -> Iterator[WatchedCluster]:
    """The cluster as a controller has it."""
    connection = Connection(server.kubeconfig(tmp_path), timeout=2.0)
    with closing(ClusterStore(connection, cache=False)) as store:
        recorder = EventRecorder(store.client)
        yield WatchedCluster(store.client, recorder, lambda *_: None, instance_id="")
        recorder.close()


def rollout(**metadata: str) -> Manifest:
    """Return a Rollout."""
    manifest = m.rollout({"nginx": {"stableIngress": "web"}}, name="web")
    manifest["metadata"] |= {"namespace": "default", "uid": "1", **metadata}
    return manifest


def adoption(server: ApiServer) -> Adopt:
    """Return the adoption by the Rollout with the uid 1 that a controller remembers."""
    (stored,) = [item for place, item in server.objects.items() if "/replicasets/" in place]
    version = stored["metadata"]["resourceVersion"]
    return Adopt(REPLICA_SET, version, (owner_reference(rollout()),))


def owners(server: ApiServer) -> list[Manifest]:
    """Return the owners of the ReplicaSet."""
    (stored,) = [item for place, item in server.objects.items() if "/replicasets/" in place]
    return list(stored["metadata"].get("ownerReferences") or ())


def test_a_rollout_that_is_there_adopts(server: ApiServer, cluster: WatchedCluster) -> None:
    """The owner is written, with its uid, as the one that controls the ReplicaSet and waits for its end."""
    server.put(rollout(), "rollouts")
    cluster.write(adoption(server))
    assert owners(server) == [owner_reference(rollout())]


@pytest.mark.parametrize(
    "present", [None, rollout(uid="2"), rollout(deletionTimestamp="2026-01-01T00:00:00Z")]
)
def test_a_rollout_that_goes_adopts_nothing(
    server: ApiServer, cluster: WatchedCluster, present: Manifest | None
) -> None:
    """A ReplicaSet that somebody keeps while its Rollout is deleted would be collected with it, so it is left alone."""
    if present:
        server.put(present, "rollouts")
    with pytest.raises(ConflictError, match="about to go"):
        cluster.write(adoption(server))
    assert owners(server) == []
