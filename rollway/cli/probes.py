"""The options for what is asked beside the store: data planes, by address or found in the cluster, and a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rollway.cli.parameters import Options, collects, option
from rollway.cli.values import DURATION
from rollway.routers.backends import builtin_packages, package

if TYPE_CHECKING:
    from rollway.routers.objects import Live
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
"""The options for counting requests, and which source each needs."""


class DataPlaneOptions(Options):
    """Where the data planes are."""

    namespaces: tuple[str, ...] = option(
        "--data-plane",
        heading=EVIDENCE,
        metavar="NAMESPACE",
        multiple=True,
        help="Namespace of the data plane's pods, asked by port-forward (repeatable; default: look in all).",
    )
    addresses: dict[str, tuple[str, ...]] = collects(
        {
            address.name: option(
                f"--{address.name}", heading=EVIDENCE, metavar="ADDRESS", multiple=True, help=address.help
            )
            for known in builtin_packages()
            for address in known.addresses
        }
    )
    """By the name of the option, as the backends declare it."""
    others: tuple[str, ...] = option(
        "--address",
        heading=EVIDENCE,
        metavar="NAME=ADDRESS",
        multiple=True,
        help="Address of the data plane of a backend that is installed beside rollway; `rollway backends` has the NAME.",
    )

    @property
    def given(self) -> bool:
        """Whether anything was given."""
        return any((self.namespaces, self.others, *self.addresses.values()))

    @property
    def places(self) -> dict[str, list[str]]:
        """Every address that was given, by its name."""
        places = {name: list(listed) for name, listed in self.addresses.items()}
        for word in self.others:
            name, equals, address = word.partition("=")
            if not equals:
                raise click.UsageError(f"--address {word!r} is not of the form NAME=ADDRESS")
            places.setdefault(name, []).append(address)
        return places


class SampleOptions(Options):
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
        help="Prometheus that scrapes the data plane: count the cluster's own requests instead, which shows `measured` "
        "as well.",
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


def data_plane_probes(
    router: TrafficRouter,
    planes: DataPlaneOptions,
    level: str | None,
    *,
    in_cluster: bool = True,
    live: Live | None = None,
) -> tuple[Probe, ...]:
    """Return the probes of the addresses that were given, and of the pods that the cluster names for the others.

    `level` is the evidence that was asked for by name; one that was not is a note when it cannot be reached, and no
    error. `live` are the Rollout's objects, where they have been read already.
    """
    # Only the store of a cluster reaches pods.
    store = router.store if in_cluster and hasattr(router.store, "forward") else None
    if store is None and not any((planes.others, *planes.addresses.values())):
        return ()
    from rollway.routers import data_planes  # noqa: PLC0415 - a command that asks nobody does not need it

    result = data_planes.data_plane_probes(router.rollout, store, planes.places, planes.namespaces, live=live)
    # Where there is no way to ask at all, nothing stands in it; asked for by name, the level is refused where it is needed.
    if store is None or not all(package(name).addresses for name in result.obstacles):
        return result.probes
    reasons = "; ".join(result.obstacles.values())
    if reasons and level == "loaded":
        from rollway.routers.errors import UnsupportedError  # noqa: PLC0415

        options = ", ".join(package(name).ways for name in result.obstacles)
        raise UnsupportedError(
            f"evidence 'loaded' cannot be shown for {router.rollout.ref}: {reasons}",
            hint=f"give the role the rules of `rollway rbac --data-plane NAMESPACE`, or the addresses ({options})",
        )
    if reasons:
        click.echo(f"note: loaded cannot be shown: {reasons}", err=True)
    return result.probes


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
    from rollway.routers.data_planes import prometheus_probe  # noqa: PLC0415
    from rollway.routers.probes.http import Address  # noqa: PLC0415

    address = Address.parse(url)
    return prometheus_probe(
        router.rollout, address, requests=sample.requests, within=sample.within, headers=headers
    )
