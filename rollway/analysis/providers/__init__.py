"""Providers of metrics, found by their names: what comes with rollway, and what other distributions bring.

A distribution brings one as an entry point of the group `rollway.metrics`, which names a class (see `protocol`).
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import TYPE_CHECKING, cast

from rollway.routers.errors import InvalidBackendError, InvalidInputError

if TYPE_CHECKING:
    from rollway.analysis.providers.protocol import Provider

ENTRY_POINTS = "rollway.metrics"
BUILTIN = {
    "prometheus": "rollway.analysis.providers.prometheus:Prometheus",
    "web": "rollway.analysis.providers.web:Web",
    "datadog": "rollway.analysis.providers.datadog:Datadog",
    "newRelic": "rollway.analysis.providers.new_relic:NewRelic",
    "graphite": "rollway.analysis.providers.graphite:Graphite",
    "influxdb": "rollway.analysis.providers.influxdb:InfluxDB",
}
"""The providers that come with rollway; a template names them by these keys."""

_OF_ARGO = ("job", "cloudWatch", "wavefront", "skywalking", "kayenta", "plugin")


def known_providers() -> tuple[str, ...]:
    """Return the names of all providers."""
    return (*BUILTIN, *_installed())


def provider(name: str) -> Provider:
    """Return the provider of that name.

    Raises:
        InvalidInputError: there is none; the message names those that there are.
        InvalidBackendError: that of another distribution cannot be used.
    """
    if name in BUILTIN:
        module, _, item = BUILTIN[name].partition(":")
        return cast("Provider", getattr(import_module(module), item)())
    installed = _installed()
    if name in installed:
        return installed[name]
    known = ", ".join(known_providers())
    later = name in _OF_ARGO
    what = (
        "is a provider of Argo Rollouts that rollway does not have yet" if later else "is no known provider"
    )
    raise InvalidInputError(f"{name} {what}; there is {known}")


@functools.cache
def _installed() -> dict[str, Provider]:
    """Return the providers that other distributions have; see `rollway.routers.backends` for the same of backends."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - it takes as long as all other imports

    installed: dict[str, Provider] = {}
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        origin = f"provider {point.name} ({point.value}, of {point.dist.name if point.dist else 'nobody'})"
        if point.name in BUILTIN or point.name in installed:
            raise InvalidBackendError(
                f"{origin} has the name of another provider", hint="uninstall one of the two"
            )
        try:
            installed[point.name] = point.load()()
        except Exception as error:
            raise InvalidBackendError(
                f"{origin} cannot be imported: {error}", hint="repair that distribution, or uninstall it"
            ) from error
    return installed
