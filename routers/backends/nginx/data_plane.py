"""The controller pods of ingress-nginx, and what is asked of them.

Sources: the labels of ingress-nginx' manifests and its flags (internal/ingress/flags in 1.11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.routers.backends.data_plane import DataPlane
from rollway.routers.backends.nginx import STATUS, controller
from rollway.routers.backends.nginx.ingresses import GROUP, pairs
from rollway.routers.objects import Need, dig
from rollway.routers.probes.pods import PodPort, flags_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live
    from rollway.routers.probes import Probe
    from rollway.routers.probes.http import Find
    from rollway.routers.probes.pods import Pods
    from rollway.routers.probes.prometheus import Metric

LABELS = "app.kubernetes.io/component=controller,app.kubernetes.io/name=ingress-nginx"
_STATUS_PORT = 10246
_CONTROLLER = "k8s.io/ingress-nginx"


def controllers(pods: Pods, rollout: Rollout, live: Live) -> Iterator[PodPort]:
    """Yield the status ports of the controllers that watch the Rollout's namespace and serve its Ingress class."""
    running = [(ref, flags_of(pod)) for ref, pod in pods.running(LABELS)]
    names = {flags.get("controller-class", _CONTROLLER) for _, flags in running}
    # The class is looked up only where there is a choice: reading it is a right that a Role does not have.
    wanted = _controller_names(pods, rollout, live) if len(names) > 1 else names
    for ref, flags in running:
        watched = flags.get("watch-namespace", "")
        if flags.get("controller-class", _CONTROLLER) in wanted and watched in ("", rollout.namespace):
            yield PodPort(ref, int(flags.get("status-port", _STATUS_PORT)))


def _controller_names(pods: Pods, rollout: Rollout, live: Live) -> set[str]:
    """Return the controllers of the classes that the stable Ingresses name."""
    names = {
        controller.class_of(stable, live[stable].manifest) for stable, _ in pairs(rollout) if stable in live
    }
    classes = pods.access.read([Need(GROUP, "IngressClass", required=False)])
    return {
        str(dig(ingress_class.manifest, "spec", "controller"))
        for ingress_class in classes.of(GROUP, "IngressClass")
        if ingress_class.ref.name in names
    }


def _probe(places: Mapping[str, Find]) -> Probe:
    from rollway.routers.backends.nginx.probe import IngressNginxProbe  # noqa: PLC0415 - where no pod is, nobody needs it

    return IngressNginxProbe(places[STATUS.name])


def _metric(rollout: Rollout, live: Live) -> Metric:
    from rollway.routers.backends.nginx.metrics import metric  # noqa: PLC0415 - few ask a Prometheus

    return metric(rollout, live)


DATA_PLANE = DataPlane(
    probe=_probe,
    pods={STATUS.name: controllers},
    metric=_metric,
)
