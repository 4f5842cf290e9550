"""The stanza: `route` names the WeightedRoute, in the namespace of the Rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rollway.routers.backends.stanzas import OBJECT_NAME, Stanza, mapping

if TYPE_CHECKING:
    from rollway.routers.backends.stanzas import Fault
    from rollway.routers.objects import Manifest


class AcmeTrafficRouting(NamedTuple):
    """The WeightedRoute that carries the weights."""

    route: str


def read(stanza: Manifest, _namespace: str, _fault: Fault) -> AcmeTrafficRouting:
    """Read a stanza that fits the schema."""
    return AcmeTrafficRouting(stanza["route"])


STANZA = Stanza(mapping(["route"], route=OBJECT_NAME), read)
