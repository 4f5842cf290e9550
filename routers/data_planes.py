"""Choose what shows the evidence of a Rollout's data planes: by addresses, by the pods of a cluster, by a Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rollway.routers.backends import packages, packages_of
from rollway.routers.errors import InvalidInputError
from rollway.routers.planning import needs_of
from rollway.routers.probes.http import fixed
from rollway.routers.probes.pods import Pods, pod_access
from rollway.routers.stores import ClusterAccess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rollway.routers.backends import BackendPackage
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live
    from rollway.routers.probes import Probe
    from rollway.routers.probes.http import Address
    from rollway.routers.probes.prometheus import PrometheusProbe
    from rollway.routers.stores import Store


class DataPlaneProbes(NamedTuple):
    """The probes that show `loaded`, and, by backend, why the data plane of a Rollout cannot be asked."""

    probes: tuple[Probe, ...] = ()
    obstacles: Mapping[str, str] = {}


def data_plane_probes(
    rollout: Rollout,
    store: Store | None = None,
    addresses: Mapping[str, Sequence[str]] | None = None,
    namespaces: Sequence[str] = (),
    *,
    live: Live | None = None,
) -> DataPlaneProbes:
    """Return the probes of the data planes that serve a Rollout.

    `addresses` are those that are known, by the name of a backend's address option (`nginx-status`). The pods of the
    other data planes are looked for in the cluster that the store is of, in some `namespaces` (default: in all); they
    come in only where all of them can be asked, since one alone does not show that the Rollout is loaded. Without a
    store nothing is looked for. `live` are the Rollout's objects, where they have been read already.

    Raises:
        InvalidInputError: an address is none, or is for a backend that the Rollout does not use.
        StoreError: the store cannot be read.
    """
    given = {name: listed for name, listed in (addresses or {}).items() if listed}
    _refuse_useless(rollout, given)
    probes: list[Probe] = []
    lacking: list[BackendPackage] = []
    for package in packages_of(rollout):
        places = {
            option.name: fixed(given[option.name]) for option in package.addresses if option.name in given
        }
        if package.data_plane and places:
            probes.append(package.data_plane.probe(places))
        else:
            lacking.append(package)
    in_cluster = _in_cluster(rollout, store, lacking, namespaces, live) if lacking else DataPlaneProbes()
    return DataPlaneProbes((*probes, *in_cluster.probes), in_cluster.obstacles)


def status_probes(rollout: Rollout, store: Store) -> tuple[Probe, ...]:
    """Return the probes that show `accepted` by the status of the Rollout's objects; only a cluster has one in them."""
    if not isinstance(store, ClusterAccess):
        return ()
    return tuple(package.status_probe for package in packages_of(rollout) if package.status_probe)


def prometheus_probe(
    rollout: Rollout,
    address: Address,
    *,
    requests: int | None = None,
    within: float | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> PrometheusProbe:
    """Return the probe that counts `requests` (1000) of the Rollout's own by a Prometheus, in `within` seconds (300).

    Raises:
        InvalidInputError: the count is out of range, or a data plane of the Rollout has no metrics to count by.
    """
    from rollway.routers.probes.prometheus import WITHIN_S, PrometheusProbe  # noqa: PLC0415 - few ask a Prometheus
    from rollway.routers.probes.requests import REQUESTS, check_count  # noqa: PLC0415

    requests = REQUESTS if requests is None else requests
    within = WITHIN_S if within is None else within
    check_count(requests)
    metrics = {
        package.name: package.data_plane.metric
        for package in packages_of(rollout)
        if package.data_plane and package.data_plane.metric
    }
    silent = [name for name in rollout.backends if name not in metrics]
    if silent:
        able = [package.name for package in packages() if package.data_plane and package.data_plane.metric]
        raise InvalidInputError(
            f"--prometheus is for {' and '.join(able)}, and {rollout.ref} is routed by {', '.join(silent)}: use --url"
        )
    return PrometheusProbe(address, metrics, requests, within, headers)


def _refuse_useless(rollout: Rollout, given: Mapping[str, Sequence[str]]) -> None:
    """Raise InvalidInputError for an address that nothing would ask."""
    options = {option.name: (package, option) for package in packages() for option in package.addresses}
    for name in given:
        if name not in options:
            raise InvalidInputError(f"--{name} is no data plane's; there are: --{', --'.join(options)}")
        package, option = options[name]
        if package.name not in rollout.backends:
            raise InvalidInputError(
                f"--{name} is for {package.name}, and {rollout.ref} has no such backend",
                hint=f"its backends are: {', '.join(rollout.backends)}",
            )
        if option.explains and option.explains not in given:
            raise InvalidInputError(
                f"--{name} needs --{option.explains}: it only explains what that one shows"
            )


def _in_cluster(
    rollout: Rollout,
    store: Store | None,
    lacking: Sequence[BackendPackage],
    namespaces: Sequence[str],
    known: Live | None,
) -> DataPlaneProbes:
    """Return the probes of the pods that the cluster itself knows, of all these backends or of none."""
    obstacles = {
        package.name: f"there is no common way to ask the data plane of backend {package.name}"
        for package in lacking
        if not package.addresses
    }
    if obstacles:
        return DataPlaneProbes(obstacles=obstacles)
    access = pod_access(store)
    if access is None:
        return DataPlaneProbes(
            obstacles={package.name: f"the store reaches no pods; give {package.ways}" for package in lacking}
        )
    live = access.read(needs_of(rollout)) if known is None else known
    pods = Pods(access, tuple(namespaces))
    obstacles = {
        package.name: reason for package in lacking if (reason := _obstacle(package, pods, rollout, live))
    }
    if obstacles:
        return DataPlaneProbes(obstacles=obstacles)
    return DataPlaneProbes(tuple(_pod_probe(package, pods) for package in lacking))


def _pod_probe(package: BackendPackage, pods: Pods) -> Probe:
    """Return the probe that asks the pods of a backend's data plane."""
    assert package.data_plane is not None, "a backend with addresses has a data plane"
    places = {
        option.name: pods.addresses(
            package.name, package.data_plane.pods[option.name], optional=option.optional
        )
        for option in package.addresses
    }
    return package.data_plane.probe(places)


def _obstacle(package: BackendPackage, pods: Pods, rollout: Rollout, live: Live) -> str:
    """Return why the pods that are evidence cannot be asked; those that only explain are not looked for."""
    assert package.data_plane is not None, "a backend with addresses has a data plane"
    reasons = [
        pods.obstacle(
            package.name, package.data_plane.pods[option.name], rollout, live, optional=option.optional
        )
        for option in package.addresses
        if not option.explains
    ]
    return "; ".join(dict.fromkeys(filter(None, reasons)))
