"""Prometheus metrics of the controller, with the names of Argo Rollouts where it has one for the same thing."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily

from rollway.routers.objects import dig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rollway.routers.objects import Manifest

_BUCKETS = (0.01, 0.15, 0.25, 0.5, 1.0)


class Metrics:
    """Counters of the work, and the state of each Rollout at the moment when it is asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("namespace", "name")
        self._durations = Histogram(
            "rollout_reconcile",
            "Seconds that one look at a Rollout took.",
            labels,
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._errors = Counter(
            "rollout_reconcile_error",
            "Looks at a Rollout that ended with an error.",
            labels,
            registry=self.registry,
        )

    @contextmanager
    def reconciling(self, namespace: str, name: str) -> Iterator[None]:
        """Measure one look at a Rollout."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._durations.labels(namespace, name).observe(time.perf_counter() - begin)

    def failed(self, namespace: str, name: str) -> None:
        """Count a look that failed."""
        self._errors.labels(namespace, name).inc()

    def forget(self, namespace: str, name: str) -> None:
        """Report nothing more about a Rollout that is gone."""
        for metric in (self._durations, self._errors):
            with suppress(KeyError):
                metric.remove(namespace, name)

    def watch(self, rollouts: Callable[[], Iterable[Manifest]]) -> None:
        """Report the state of these Rollouts with every scrape."""
        self.registry.register(_States(rollouts))

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)


class _States:
    """The state of each Rollout, from its status."""

    def __init__(self, rollouts: Callable[[], Iterable[Manifest]]) -> None:
        self._rollouts = rollouts

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics; the client library asks for them by this name."""
        labels = ["namespace", "name"]
        info = GaugeMetricFamily(
            "rollout_info",
            "A Rollout and its phase.",
            labels=[*labels, "strategy", "traffic_router", "phase"],
        )
        counts = {
            key: GaugeMetricFamily(
                f"rollout_info_replicas_{key}", f"Pods of a Rollout: {key}.", labels=labels
            )
            for key in ("available", "unavailable", "desired", "updated")
        }
        weight = GaugeMetricFamily(
            "rollway_rollout_weight", "Weight of the canary, as the routing objects show it.", labels=labels
        )
        verified = GaugeMetricFamily(
            "rollway_rollout_weight_verified",
            "1 where the evidence for the weight is there, else 0.",
            labels=labels,
        )
        for rollout in self._rollouts():
            key = [rollout["metadata"]["namespace"], rollout["metadata"]["name"]]
            info.add_metric([*key, *_kind(rollout), str(dig(rollout, "status", "phase") or "")], 1)
            for name, value in _pods(rollout).items():
                counts[name].add_metric(key, value)
            shown = dig(rollout, "status", "canary", "weights")
            if shown:
                weight.add_metric(key, dig(shown, "canary", "weight") or 0)
                verified.add_metric(key, 1 if shown.get("verified") else 0)
        yield from (info, *counts.values(), weight, verified)


def _kind(rollout: Manifest) -> tuple[str, str]:
    strategy: dict[str, Any] = dig(rollout, "spec", "strategy") or {}
    name = "blueGreen" if "blueGreen" in strategy else "canary"
    routing = dig(strategy, name, "trafficRouting") or {}
    routers = [key for key in routing if key not in ("maxTrafficWeight", "managedRoutes")]
    return name, ",".join(sorted(routers))


def _pods(rollout: Manifest) -> dict[str, int]:
    status: dict[str, Any] = rollout.get("status") or {}
    replicas = dig(rollout, "spec", "replicas")
    desired = 1 if replicas is None else replicas
    available = status.get("availableReplicas", 0)
    return {
        "desired": desired,
        "available": available,
        "unavailable": max(desired - available, 0),
        "updated": status.get("updatedReplicas", 0),
    }
