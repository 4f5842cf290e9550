"""What Traefik has loaded: its routers of requests and of connections and their weighted services, by its API.

Sources: Traefik v3, pkg/api/handler.go (`/api/rawdata`) and pkg/config/runtime. Its API answers on the entry point
`traefik` (port 8080), without a password only with `--api.insecure=true`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from rollway.routers.objects import dig
from rollway.routers.probes.http import NoAnswerError, ask_each, fetch
from rollway.routers.probes.loaded import LoadedProbe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.model import Context
    from rollway.routers.probes.http import Address
    from rollway.routers.traffic import Verdict

_DATA = "/api/rawdata"


class LoadedRouter(NamedTuple):
    """One router: its name with the provider (`NAME@PROVIDER`), what it matches, its service, and the weights of that.

    `weights` lists the parts of a weighted service in their order; it is empty for any other service.
    """

    name: str
    rule: str
    service: str
    weights: tuple[tuple[str, int], ...]


class TraefikProbe(LoadedProbe[LoadedRouter]):
    """Ask the API of every Traefik that is given."""

    what: ClassVar[str] = "routers"

    def judge(self, context: Context) -> Verdict:
        """Compare the routers that each Traefik has with the routing objects."""

        def look(address: Address) -> Verdict:
            try:
                document = fetch(address, _DATA)
            except NoAnswerError as error:
                if "HTTP 404" not in str(error):
                    raise
                raise NoAnswerError(f"{error}: its API is off (--api.insecure=true turns it on)") from None
            return self.judge_document(document, context)

        return ask_each("Traefik", self.find, context, self.objects(context), look)

    def read(self, document: Any) -> Iterator[LoadedRouter]:
        """Read the routers of requests and of connections of an answer to `_DATA`."""
        return _routers(document)


def _routers(document: Any) -> Iterator[LoadedRouter]:
    yield from _routers_with(document["routers"], document.get("services", {}))
    yield from _routers_with(document.get("tcpRouters", {}), document.get("tcpServices", {}))


def _routers_with(routers: Any, services: Any) -> Iterator[LoadedRouter]:
    for name, router in routers.items():
        service = str(router["service"])
        # Within its own provider, a service is named without it.
        whole = service if "@" in service else f"{service}@{name.rpartition('@')[2]}"
        parts = dig(services, whole, "weighted", "services") or []
        weights = tuple((str(part["name"]), int(part.get("weight", 1))) for part in parts)
        yield LoadedRouter(name, str(router["rule"]), service, weights)
