"""The backends: each a package that owns its stanza, its translation, its data plane and the probes of that.

A backend `NAME` is a package with a light `__init__.py` that holds `PACKAGE`, and with these modules:

- `stanza.py`: `STANZA`, the schema, the type and the parser of its part of `trafficRouting`;
- `backend.py`: `BACKEND`, pure functions between Traffic and one kind of routing object;
- `findings.py`: `FINDINGS`, what the codes of its findings stand for;
- `adoption.py`, where it carries routes of the user's: `ADOPTION`, its stanza for the routes that lead to a Service;
- `accepted.py`, where controllers report in the objects what they have accepted: `PROBE`, which needs those alone;
- `data_plane.py`, where the data plane can be asked: `DATA_PLANE`, its probe, its pods, its rights and its metrics.

To add one here, write its package, add it to `BUILTIN`, and give it a fixture class for the contract suite in
`rollway.routers.testing`. A backend of another distribution is found by its entry point. The rest of the code knows no
backend by name.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, cast

from rollway.routers.errors import InvalidBackendError
from rollway.routers.objects import Access  # noqa: TC001 - packages pass the value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.backends.adoption import Adoption
    from rollway.routers.backends.data_plane import DataPlane
    from rollway.routers.backends.stanzas import Stanza
    from rollway.routers.findings import Finding, FindingCode
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest, Need
    from rollway.routers.probes import Probe
    from rollway.routers.traffic import Capabilities, Reading, Traffic

BUILTIN = {
    "nginx": "rollway.routers.backends.nginx",
    "istio": "rollway.routers.backends.istio",
    "smi": "rollway.routers.backends.smi",
    "gateway": "rollway.routers.backends.gateway",
    "service": "rollway.routers.backends.service",
}
"""The package of each backend that comes with rollway, in the order in which they are applied."""
ENTRY_POINTS = "rollway.backends"
"""The group of entry points by which other distributions add theirs: `NAME = PACKAGE:ATTRIBUTE`."""


class Backend(Protocol):
    """Translate between Traffic and one kind of routing object. Holds no state and does no I/O."""

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    def needs(self, rollout: Rollout) -> Sequence[Need]:
        """Name the objects that `render`, `observe` and `check` look at, and what may be done to each."""
        ...

    def render(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Manifest]:
        """Return the objects that carry the wish: MANAGED ones whole, SHARED ones as a changed copy of the live one.

        Raises:
            NotFoundError: an object or route that must be there is not.
            AmbiguousError: more than one route could be meant.
            ManifestError: a live object is malformed where the backend has to read it.
        """
        ...

    def observe(self, rollout: Rollout, live: Live) -> Sequence[Reading]:
        """Read what the live objects show: the inverse of `render`, one Reading for each object or route.

        Raises what `render` raises.
        """
        ...

    def check(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Finding]:
        """Report what the data plane would ignore, reject or break if `live` were as given.

        `live` already holds the wanted objects in place of the present ones.
        """
        ...


class AddressOption(NamedTuple):
    """One option for the addresses of a data plane: a name (`nginx-status`) and help for people.

    What answers under an option that `explains` another one is no evidence, and is asked only beside the other. Of
    those that are `optional`, a Rollout has the ones that its objects show.
    """

    name: str
    help: str
    explains: str = ""
    optional: bool = False


class BackendPackage(NamedTuple):
    """One backend as the rest of the code sees it; its parts are imported when they are first used.

    `paths` are the places of its stanza below `trafficRouting`, of which a Rollout has one; without any it stands under
    the backend's name. A backend without `addresses` has no data plane that can be asked. One that is `without_router` has
    no stanza: it carries the blue-green Rollouts that have no `trafficRouting`.
    """

    name: str
    module: str
    paths: tuple[tuple[str, ...], ...] = ()
    addresses: tuple[AddressOption, ...] = ()
    install: tuple[tuple[str, str], ...] = ()
    """API groups whose kinds a cluster may lack, each with what to install then."""
    without_router: bool = False
    kinds: tuple[tuple[str, str, Access], ...] = ()
    """API group, kind, and what is done to its objects: every kind that `needs` may name, but for what each backend reads
    (Services, EndpointSlices, Pods). A controller needs these rights before it knows a Rollout."""

    @property
    def places(self) -> tuple[tuple[str, ...], ...]:
        """Where the stanza may stand below `trafficRouting`."""
        if self.without_router:
            return ()
        return self.paths or ((self.name,),)

    @property
    def ways(self) -> str:
        """The options that show evidence, for people: `--a or --b`."""
        return " or ".join(f"--{option.name}" for option in self.addresses if not option.explains)

    @property
    def stanza(self) -> Stanza:
        """How its stanza is checked and read."""
        return cast("Stanza", self._part("stanza", "STANZA"))

    @property
    def backend(self) -> Backend:
        """Its translation."""
        return cast("Backend", self._part("backend", "BACKEND"))

    @property
    def findings(self) -> Sequence[FindingCode]:
        """What the codes of its findings stand for; a backend that finds nothing needs none."""
        if not self._has("findings"):
            return ()
        return cast("Sequence[FindingCode]", self._part("findings", "FINDINGS"))

    @property
    def adoption(self) -> Adoption | None:
        """What proposes its stanza for a Deployment that becomes a Rollout; None where it has no routes."""
        if not self._has("adoption"):
            return None
        return cast("Adoption", self._part("adoption", "ADOPTION"))

    @property
    def status_probe(self) -> Probe | None:
        """What shows `accepted` by the status of the objects; None where no controller reports there."""
        if not self._has("accepted"):
            return None
        return cast("Probe", self._part("accepted", "PROBE"))

    @property
    def data_plane(self) -> DataPlane | None:
        """What asks its data plane; None where there is no common way to ask one."""
        return cast("DataPlane", self._part("data_plane", "DATA_PLANE")) if self.addresses else None

    def _has(self, module: str) -> bool:
        from importlib.util import find_spec  # noqa: PLC0415 - most calls ask for no part that may be missing

        return find_spec(f"{self.module}.{module}") is not None

    def _part(self, module: str, name: str) -> Any:
        return getattr(import_module(f"{self.module}.{module}"), name)


@functools.cache
def builtin_packages() -> tuple[BackendPackage, ...]:
    """Return the backends that come with rollway, in the order in which they are applied."""
    return tuple(cast("BackendPackage", import_module(module).PACKAGE) for module in BUILTIN.values())


@functools.cache
def installed_packages() -> tuple[BackendPackage, ...]:
    """Return the backends that other distributions have, in order of their names.

    They are looked for only where they can matter, because this costs more than most commands.

    Raises:
        InvalidBackendError: one cannot be imported, is no backend, or has the name of another one.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415 - it takes as long as all other imports

    names = list(BUILTIN)
    installed: list[BackendPackage] = []
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        origin = f"backend {point.name} ({point.value}, of {point.dist.name if point.dist else 'nobody'})"
        try:
            package = point.load()
        except Exception as error:
            raise InvalidBackendError(
                f"{origin} cannot be imported: {error}", hint="repair that distribution, or uninstall it"
            ) from error
        if not isinstance(package, BackendPackage) or package.name != point.name:
            raise InvalidBackendError(
                f"{origin} is no BackendPackage of that name", hint="see docs/backends.md"
            )
        if package.name in names:
            raise InvalidBackendError(
                f"{origin} has the name of another backend", hint="uninstall one of the two"
            )
        names.append(package.name)
        installed.append(package)
    return tuple(installed)


def packages() -> tuple[BackendPackage, ...]:
    """Return every backend, in the order in which they are applied; raises what `installed_packages` raises."""
    return (*builtin_packages(), *installed_packages())


def install_hint(group: str) -> str:
    """Return what to install where the kinds of an API group are not served; empty where no backend has the group."""
    return next((hint for each in packages() for name, hint in each.install if name == group), "")


def package(name: str) -> BackendPackage:
    """Return the backend of that name, which a Rollout has been read with.

    Raises:
        LookupError: there is none.
    """
    for known in builtin_packages() if name in BUILTIN else packages():
        if known.name == name:
            return known
    raise LookupError(f"there is no backend {name}")


def backend(name: str) -> Backend:
    """Return the translation of the backend of that name."""
    return package(name).backend


def packages_of(rollout: Rollout) -> tuple[BackendPackage, ...]:
    """Return the backends that the Rollout uses, in the order in which they are applied."""
    return tuple(map(package, rollout.backends))


def backends_of(rollout: Rollout) -> tuple[Backend, ...]:
    """Return the translations that the Rollout uses, in the order in which they are applied."""
    known: tuple[Backend, ...] | None = rollout.memo.get("backends")
    if known is None:
        known = rollout.memo["backends"] = tuple(backend(name) for name in rollout.backends)
    return known
