"""The controller as a process: it leads or waits, works until it is stopped, and gives the lead away when it goes."""

from __future__ import annotations

import logging
import threading
import time
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from rollway.controller.events import EventRecorder
from rollway.controller.metrics import Metrics
from rollway.controller.reconciler import Reconciler
from rollway.controller.routed_traffic import RoutedTraffic
from rollway.controller.watched_cluster import WatchedCluster
from rollway.controller.work_queue import WorkQueue
from rollway.routers.errors import ConflictError, RollwayError
from rollway.routers.kube.lease import Lease
from rollway.routers.model import HASH_LABEL
from rollway.routers.stores.watching import WatchingStore
from rollway.routers.traffic import Evidence

if TYPE_CHECKING:
    from rollway.routers.objects import Manifest, ObjectRef
    from rollway.routers.stores.cluster import ClusterStore

_RENEW_S = 2.0
_CONTEST_S = 0.5
"""How often a replica that does not lead asks for the Lease, so that a hand-over takes less than two seconds."""
_RESYNC_S = 900.0
"""When a Rollout is looked at again even if nothing happens, as Argo's controller does."""
_SHUTDOWN_S = 20.0
_SHARED_S = 1.0
"""How long the pods of data planes that were found for one Rollout are those for the others too."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ControllerOptions:
    """How a controller runs. `namespace` limits it to one; `shard` is (K, N): the Rollouts that it takes, divided by UID."""

    identity: str
    lease_namespace: str
    namespace: str = ""
    instance_id: str = ""
    workers: int = 8
    shard: tuple[int, int] = (1, 1)
    level: Evidence = Evidence.LOADED
    drain: timedelta = timedelta(seconds=1)
    data_planes: tuple[str, ...] = ()
    """The namespaces in which the pods of data planes are looked for; empty: all."""

    @property
    def lease_name(self) -> str:
        """The name of the Lease for which the replicas of one shard compete."""
        number, count = self.shard
        words = ["rollway-controller", self.instance_id, f"{number}-of-{count}" if count > 1 else ""]
        return "-".join(filter(None, words))


class Controller:
    """Run releases until `stop` is called; `run` returns then, or when the lead is lost."""

    def __init__(
        self, store: ClusterStore, options: ControllerOptions, metrics: Metrics | None = None
    ) -> None:
        self.options = options
        self.metrics = metrics or Metrics()
        self.queue: WorkQueue[tuple[str, str]] = WorkQueue()
        self._store = store
        self._lease = Lease(store.client, options.lease_namespace, options.lease_name, options.identity)
        self._recorder = EventRecorder(store.client)
        self.cluster = WatchedCluster(
            store.client,
            self._recorder,
            self._changed,
            namespace=options.namespace,
            instance_id=options.instance_id,
            pods_changed=self._changed_under_way,
        )
        # Of all the pods of a cluster, those of Rollouts are enough.
        self._watching = WatchingStore(
            store,
            options.namespace,
            self._routed_changed,
            selectors={("", "Pod"): HASH_LABEL},
            shared=_SHARED_S,
        )
        self._routing = RoutedTraffic(
            self._watching,
            self._changed_under_way,
            level=options.level,
            drain=options.drain,
            namespaces=options.data_planes,
        )
        self._reconciler = Reconciler(self.cluster, self._routing)
        self._stopping = threading.Event()
        self._lost = False
        self._idle = True
        """Whether no worker is at work, so that the Lease may go to another replica."""

    @property
    def ready(self) -> bool:
        """Whether the memory is whole, so that this replica could lead."""
        return self.cluster.synced

    @property
    def alive(self) -> bool:
        """Whether it works or waits as it should."""
        return not self._lost

    @property
    def leads(self) -> bool:
        """Whether this replica runs the releases."""
        return self._lease.held

    def stop(self) -> None:
        """End the work; safe to call from a signal handler."""
        self._stopping.set()

    def run(self) -> bool:
        """Watch, wait for the lead, work; return False when the lead was lost, and True after `stop`.

        Raises:
            StoreError: the cluster cannot be read at the beginning.
        """
        self.cluster.start()
        try:
            if self._wait_for_lead():
                self._work()
        finally:
            self._close()
        return not self._lost

    def _wait_for_lead(self) -> bool:
        _logger.info("waiting for the Lease %s", self.options.lease_name)
        while not self._stopping.is_set():
            if self._acquire():
                _logger.info("this replica leads")
                return True
            self._stopping.wait(_CONTEST_S)
        return False

    def _acquire(self) -> bool:
        try:
            return self._lease.acquire()
        except RollwayError as error:
            _logger.warning("the Lease cannot be taken: %s", error.message)
            return self._lease.held

    def _work(self) -> None:
        """Run the workers while the Lease is held."""
        workers = [
            threading.Thread(target=self._worker, name=f"rollway-worker-{number}", daemon=True)
            for number in range(self.options.workers)
        ]
        for rollout in self.cluster.rollouts.items():
            self._changed(rollout["metadata"]["namespace"], rollout["metadata"]["name"])
        for worker in workers:
            worker.start()
        while not self._stopping.wait(_RENEW_S):
            if not self._acquire() and not self._lease.held:
                _logger.error("the lead is lost: the Lease could not be renewed in time")
                self._lost = True
                break
        self.queue.close()
        deadline = time.monotonic() + _SHUTDOWN_S
        for worker in workers:
            worker.join(max(deadline - time.monotonic(), 0))
        self._idle = not any(worker.is_alive() for worker in workers)

    def _close(self) -> None:
        self.queue.close()
        if self._idle and not self._lost:
            self._release()
        self._routing.close()
        self.cluster.stop()
        self._recorder.close()
        self._watching.close()

    def _release(self) -> None:
        """Give the Lease back, before anything else that may take its time, because nothing is written any more."""
        try:
            self._lease.release()
        except RollwayError as error:
            _logger.warning("the Lease is not given back, and runs out: %s", error.message)

    def _changed(self, namespace: str, name: str) -> None:
        self.queue.add((namespace, name))

    def _changed_under_way(self, namespace: str, name: str) -> None:
        """Let a release that is under way go on before those that begin: with very many, each then ends sooner."""
        self.queue.add((namespace, name), urgent=True)

    def _routed_changed(self, ref: ObjectRef) -> None:
        for namespace, name in self._routing.concerned(ref):
            self._changed(namespace, name)

    def _is_ours(self, rollout: Manifest) -> bool:
        """Return whether a Rollout is in the shard."""
        number, count = self.options.shard
        return count == 1 or zlib.crc32(rollout["metadata"]["uid"].encode()) % count == number - 1

    def _worker(self) -> None:
        while key := self.queue.take():
            try:
                self._reconcile(*key)
            finally:
                self.queue.done(key)

    def _reconcile(self, namespace: str, name: str) -> None:
        rollout = self.cluster.rollout(namespace, name)
        if rollout is not None and not self._is_ours(rollout):
            return
        if not self._lease.held:
            return
        key, now = (namespace, name), datetime.now(UTC)
        with self.metrics.reconciling(namespace, name):
            try:
                again = self._reconciler.reconcile(namespace, name, now)
            except ConflictError as error:
                _logger.debug("%s/%s is looked at again: %s", namespace, name, error.message)
                self.queue.fail(key)
                return
            except RollwayError as error:
                _logger.warning("%s/%s: %s", namespace, name, error.message, extra={"rollout": name})
                self.metrics.failed(namespace, name)
                self.queue.fail(key)
                return
            except Exception:
                _logger.exception("%s/%s: an error of the controller's own", namespace, name)
                self.metrics.failed(namespace, name)
                self.queue.fail(key)
                return
        self.queue.succeed(key)
        if rollout is None:
            self.metrics.forget(namespace, name)
        else:
            wait = (again - datetime.now(UTC)).total_seconds() if again else _RESYNC_S
            self.queue.add_after(key, min(wait, _RESYNC_S))
