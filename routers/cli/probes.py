"""The options that say what is asked beside the store: data planes, by address or found in the cluster, and a URL."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from routers.probes import Probe
    from routers.router import TrafficRouter

_Function = TypeVar("_Function", bound="Callable[..., Any]")

LEVELS = ("written", "accepted", "loaded", "measured")


def data_plane_options(function: _Function) -> _Function:
    """Add where the data planes are; `data_plane_probes` takes what was given."""
    for decorate in (
        click.option(
            "--data-plane",
            "namespaces",
            metavar="NAMESPACE",
            multiple=True,
            help="Namespace of the data plane's pods, asked by port-forward (repeatable; default: look in all).",
        ),
        click.option(
            "--envoy-admin",
            metavar="ADDRESS",
            multiple=True,
            help="Admin port (15000) of an Istio gateway or sidecar; repeat it for every pod.",
        ),
        click.option(
            "--istiod",
            metavar="ADDRESS",
            multiple=True,
            help="Debug port (8080) of istiod, asked why an Envoy rejected an update; repeat it for every pod.",
        ),
        click.option(
            "--nginx-status",
            metavar="ADDRESS",
            multiple=True,
            help="Status port (10246) of an ingress-nginx controller; repeat it for every pod.",
        ),
    ):
        function = decorate(function)
    return function


def data_plane_probes(
    router: TrafficRouter,
    level: str | None,
    *,
    nginx_status: tuple[str, ...],
    envoy_admin: tuple[str, ...],
    istiod: tuple[str, ...],
    namespaces: tuple[str, ...],
) -> list[Probe]:
    """Return the probes of the addresses that were given, and of the pods that the cluster names for the others.

    `level` is the evidence that was asked for by name.
    """
    probes = _addressed_probes(router, nginx_status, envoy_admin, istiod)
    return probes + _found_probes(router, probes, namespaces, level)


def probe_options(function: _Function) -> _Function:
    """Add what is asked beside the store, and give the router the probes."""

    @data_plane_options
    @click.option("--url", help="URL to send requests to, which shows the evidence `measured`.")
    @click.option(
        "--identify",
        metavar="WHERE",
        help="Where an answer names its version: header:NAME[=VALUE], cookie:NAME[=VALUE] or body:REGEX; VALUE is the "
        "canary's.",
    )
    @click.option("--requests", type=int, help="How many requests to send (default: 1000).")
    @click.option("--rate", type=float, help="How many in a second (default: 100; 0: as many as can be).")
    @click.option(
        "-H", "--header", "headers", metavar="'NAME: VALUE'", multiple=True, help="Header of each request."
    )
    @functools.wraps(function)
    def wrapper(router: TrafficRouter, **words: Any) -> Any:
        places = {name: words.pop(name) for name in ("nginx_status", "envoy_admin", "istiod", "namespaces")}
        sample = {name: words.pop(name) for name in ("url", "identify", "requests", "rate", "headers")}
        level = words.get("verify") or words.get("level")
        probes = (
            _addressed_probes(router, places["nginx_status"], places["envoy_admin"], places["istiod"])
            if level in LEVELS[:2] or words.get("dry_run")
            else data_plane_probes(router, level, **places)
        )
        if sample["url"]:
            probes.append(_requests_probe(**sample))
        else:
            given = [name for name, value in sample.items() if value not in (None, ())]
            if given:
                options = ", ".join(
                    f"--{name.removesuffix('s') if name == 'headers' else name}" for name in given
                )
                raise click.UsageError(f"{options} needs --url")
        return function(router=replace(router, probes=tuple(probes)), **words)

    return wrapper  # type: ignore[return-value] # click decorates the signature


def _found_probes(
    router: TrafficRouter, given: Sequence[Probe], namespaces: tuple[str, ...], level: str | None
) -> list[Probe]:
    """Return the probes of the pods that the cluster itself knows; all that the route still lacks, or none.

    A level that was not asked for by name is a note when it cannot be reached, and no error.
    """
    from routers.stores.cluster import ClusterStore  # noqa: PLC0415 - a directory does not need it

    lacking = [name for name in router.route.routers if not any(name in probe.routers for probe in given)]
    if not lacking or not isinstance(router.store, ClusterStore):
        return []
    from routers.engine import needs_of  # noqa: PLC0415
    from routers.errors import UnsupportedError  # noqa: PLC0415
    from routers.probes.pods import Pods  # noqa: PLC0415

    pods = Pods(router.store, namespaces)
    found = {name: pods.probe(name) for name in lacking}
    silent = [name for name, probe in found.items() if probe is None]
    if silent:
        # There is nothing to find out; asked for by name, the level is refused where it is needed.
        return []
    live = router.store.read(needs_of(router.route))
    obstacles = [reason for name in lacking if (reason := pods.obstacle(name, router.route, live))]
    if obstacles and level == "loaded":
        raise UnsupportedError(
            f"evidence 'loaded' cannot be shown for {router.route.ref}: {'; '.join(obstacles)}",
            hint="give the role the rules of `rollway rbac --data-plane NAMESPACE`, or the addresses (--nginx-status, "
            "--envoy-admin)",
        )
    if obstacles:
        click.echo(f"note: loaded cannot be shown: {'; '.join(obstacles)}", err=True)
        return []
    return [probe for probe in found.values() if probe is not None]


def _addressed_probes(
    router: TrafficRouter, nginx_status: Sequence[str], envoy_admin: Sequence[str], istiod: Sequence[str]
) -> list[Probe]:
    """Return the probes of the addresses that were given."""
    if istiod and not envoy_admin:
        raise click.UsageError("--istiod needs --envoy-admin: it says why an Envoy rejected an update")
    if not (nginx_status or envoy_admin):
        return []
    from routers.probes.documents import at  # noqa: PLC0415
    from routers.probes.envoy import EnvoyProbe  # noqa: PLC0415
    from routers.probes.ingress_nginx import IngressNginxProbe  # noqa: PLC0415

    probes: list[Probe] = []
    if nginx_status:
        _require_router(router, "nginx", "--nginx-status")
        probes.append(IngressNginxProbe(at(nginx_status)))
    if envoy_admin:
        _require_router(router, "istio", "--envoy-admin")
        probes.append(EnvoyProbe(at(envoy_admin), at(istiod)))
    return probes


def _require_router(router: TrafficRouter, name: str, option: str) -> None:
    if name not in router.route.routers:
        raise click.UsageError(f"{option} is for {name}, and {router.route.ref} has no such router")


def _requests_probe(
    url: str, identify: str | None, requests: int | None, rate: float | None, headers: Sequence[str]
) -> Probe:
    from routers.probes.requests import RATE, REQUESTS, Identity, RequestsProbe, check_sample  # noqa: PLC0415

    if not identify:
        raise click.UsageError("--url needs --identify: where an answer names its version")
    pairs: list[tuple[str, str]] = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise click.UsageError(f"{header!r} is no header of the form 'NAME: VALUE'")
        pairs.append((name.strip(), value.strip()))
    count, speed = REQUESTS if requests is None else requests, RATE if rate is None else rate
    check_sample(url, count, speed)
    return RequestsProbe(url, Identity.parse(identify), count, speed, tuple(pairs))
