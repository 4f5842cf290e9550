"""The options that say what is asked beside the store: data planes, by address or found in the cluster, and a URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from rollway.cli.duration import DURATION
from rollway.cli.parameters import option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.probes import Probe
    from rollway.routers.router import TrafficRouter

EVIDENCE = "Evidence"
LEVELS = ("written", "accepted", "loaded", "measured")
_SAMPLE = {
    "url": ("url",),
    "prometheus": ("prometheus",),
    "identify": ("url",),
    "rate": ("url",),
    "within": ("prometheus",),
    "requests": ("url", "prometheus"),
    "headers": ("url", "prometheus"),
}
"""What says how requests are counted, and which source each needs."""


@dataclass(frozen=True)
class DataPlaneOptions:
    """Where the data planes are."""

    namespaces: tuple[str, ...] = option(
        "--data-plane",
        heading=EVIDENCE,
        metavar="NAMESPACE",
        multiple=True,
        help="Namespace of the data plane's pods, asked by port-forward (repeatable; default: look in all).",
    )
    envoy_admin: tuple[str, ...] = option(
        "--envoy-admin",
        heading=EVIDENCE,
        metavar="ADDRESS",
        multiple=True,
        help="Admin port (15000) of an Istio gateway or sidecar; repeat it for every pod.",
    )
    istiod: tuple[str, ...] = option(
        "--istiod",
        heading=EVIDENCE,
        metavar="ADDRESS",
        multiple=True,
        help="Debug port (8080) of istiod, asked why an Envoy rejected an update; repeat it for every pod.",
    )
    nginx_status: tuple[str, ...] = option(
        "--nginx-status",
        heading=EVIDENCE,
        metavar="ADDRESS",
        multiple=True,
        help="Status port (10246) of an ingress-nginx controller; repeat it for every pod.",
    )


@dataclass(frozen=True)
class SampleOptions:
    """How requests are counted."""

    url: str | None = option(
        "--url", heading=EVIDENCE, help="URL to send requests to, which shows the evidence `measured`."
    )
    identify: str | None = option(
        "--identify",
        heading=EVIDENCE,
        metavar="WHERE",
        help="Where an answer names its version: header:NAME[=VALUE], cookie:NAME[=VALUE] or body:REGEX; VALUE is the "
        "canary's.",
    )
    prometheus: str | None = option(
        "--prometheus",
        heading=EVIDENCE,
        metavar="URL",
        help="Prometheus that scrapes ingress-nginx or Istio's proxies: count the cluster's own requests instead, "
        "which shows `measured` as well.",
    )
    requests: int | None = option(
        "--requests",
        heading=EVIDENCE,
        type=int,
        help="How many requests to send, or to count (default: 1000).",
    )
    rate: float | None = option(
        "--rate",
        heading=EVIDENCE,
        type=float,
        help="How many to send in a second (default: 100; 0: as many as can be).",
    )
    within: float | None = option(
        "--within",
        heading=EVIDENCE,
        type=DURATION,
        metavar="TIME",
        help="How long Prometheus may take to have counted so many (default: 5m).",
    )
    headers: tuple[str, ...] = option(
        "-H",
        "--header",
        heading=EVIDENCE,
        metavar="'NAME: VALUE'",
        multiple=True,
        help="Header of each request to --url, or to --prometheus.",
    )


def data_plane_probes(router: TrafficRouter, planes: DataPlaneOptions, level: str | None) -> list[Probe]:
    """Return the probes of the addresses that were given, and of the pods that the cluster names for the others.

    `level` is the evidence that was asked for by name.
    """
    probes = addressed_probes(router, planes)
    return probes + _found_probes(router, probes, planes.namespaces, level)


def _found_probes(
    router: TrafficRouter, given: Sequence[Probe], namespaces: tuple[str, ...], level: str | None
) -> list[Probe]:
    """Return the probes of the pods that the cluster itself knows; all that the route still lacks, or none.

    A level that was not asked for by name is a note when it cannot be reached, and no error.
    """
    from rollway.routers.stores.cluster import ClusterStore  # noqa: PLC0415 - a directory does not need it

    lacking = [name for name in router.rollout.backends if not any(name in probe.backends for probe in given)]
    if not lacking or not isinstance(router.store, ClusterStore):
        return []
    from rollway.routers.errors import UnsupportedError  # noqa: PLC0415
    from rollway.routers.planning import needs_of  # noqa: PLC0415
    from rollway.routers.probes.pods import Pods  # noqa: PLC0415

    pods = Pods(router.store, namespaces)
    found = {name: pods.probe(name) for name in lacking}
    silent = [name for name, probe in found.items() if probe is None]
    if silent:
        # There is nothing to find out; asked for by name, the level is refused where it is needed.
        return []
    live = router.store.read(needs_of(router.rollout))
    obstacles = [reason for name in lacking if (reason := pods.obstacle(name, router.rollout, live))]
    if obstacles and level == "loaded":
        raise UnsupportedError(
            f"evidence 'loaded' cannot be shown for {router.rollout.ref}: {'; '.join(obstacles)}",
            hint="give the role the rules of `rollway rbac --data-plane NAMESPACE`, or the addresses (--nginx-status, "
            "--envoy-admin)",
        )
    if obstacles:
        click.echo(f"note: loaded cannot be shown: {'; '.join(obstacles)}", err=True)
        return []
    return [probe for probe in found.values() if probe is not None]


def addressed_probes(router: TrafficRouter, planes: DataPlaneOptions) -> list[Probe]:
    """Return the probes of the addresses that were given."""
    if planes.istiod and not planes.envoy_admin:
        raise click.UsageError("--istiod needs --envoy-admin: it says why an Envoy rejected an update")
    if not (planes.nginx_status or planes.envoy_admin):
        return []
    from rollway.routers.probes.envoy import EnvoyProbe  # noqa: PLC0415
    from rollway.routers.probes.http import at  # noqa: PLC0415
    from rollway.routers.probes.ingress_nginx import IngressNginxProbe  # noqa: PLC0415

    probes: list[Probe] = []
    if planes.nginx_status:
        _require_router(router, "nginx", "--nginx-status")
        probes.append(IngressNginxProbe(at(planes.nginx_status)))
    if planes.envoy_admin:
        _require_router(router, "istio", "--envoy-admin")
        probes.append(EnvoyProbe(at(planes.envoy_admin), at(planes.istiod)))
    return probes


def _require_router(router: TrafficRouter, name: str, option: str) -> None:
    if name not in router.rollout.backends:
        raise click.UsageError(f"{option} is for {name}, and {router.rollout.ref} has no such router")


def measuring_probe(router: TrafficRouter, sample: SampleOptions) -> list[Probe]:
    """Return the probe that counts requests; none where nothing was given of `_SAMPLE`."""
    given = {name for name in _SAMPLE if getattr(sample, name) not in (None, ())}
    sources = given & {"url", "prometheus"}
    if len(sources) > 1:
        raise click.UsageError("--url and --prometheus both count requests: give one of them")
    source = next(iter(sources), None)
    for name, needed in _SAMPLE.items():
        if name in given and source not in needed:
            option = "--header" if name == "headers" else f"--{name}"
            raise click.UsageError(f"{option} needs {' or '.join(f'--{one}' for one in needed)}")
    headers = tuple(map(_header, sample.headers))
    if sample.url is not None:
        return [_requests_probe(sample.url, sample, headers)]
    if sample.prometheus is not None:
        return [_prometheus_probe(router, sample.prometheus, sample, headers)]
    return []


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.UsageError(f"{text!r} is no header of the form 'NAME: VALUE'")
    return name.strip(), value.strip()


def _requests_probe(url: str, sample: SampleOptions, headers: tuple[tuple[str, str], ...]) -> Probe:
    from rollway.routers.probes.requests import RATE, REQUESTS, Identity, RequestsProbe, check_sample  # noqa: PLC0415

    if not sample.identify:
        raise click.UsageError("--url needs --identify: where an answer names its version")
    count = REQUESTS if sample.requests is None else sample.requests
    rate = RATE if sample.rate is None else sample.rate
    check_sample(url, count, rate)
    return RequestsProbe(url, Identity.parse(sample.identify), count, rate, headers)


def _prometheus_probe(
    router: TrafficRouter, url: str, sample: SampleOptions, headers: tuple[tuple[str, str], ...]
) -> Probe:
    from rollway.routers.probes.http import Address  # noqa: PLC0415
    from rollway.routers.probes.prometheus import WITHIN_S, PrometheusProbe  # noqa: PLC0415
    from rollway.routers.probes.requests import REQUESTS, check_count  # noqa: PLC0415

    count = REQUESTS if sample.requests is None else sample.requests
    within = WITHIN_S if sample.within is None else sample.within
    check_count(count)
    probe = PrometheusProbe(Address.parse(url), count, within, headers)
    silent = [name for name in router.rollout.backends if name not in probe.backends]
    if silent:
        raise click.UsageError(
            f"--prometheus is for nginx and istio, and {router.rollout.ref} is routed by {', '.join(silent)}: use --url"
        )
    return probe
