"""There is no stanza to read: a blue-green Rollout without `trafficRouting` is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rollway.routers.backends.stanzas import Stanza, mapping

if TYPE_CHECKING:
    from rollway.routers.backends.stanzas import Fault
    from rollway.routers.objects import Manifest


class ServiceSelection(NamedTuple):
    """Nothing beside the Rollout itself, which names its Services."""


def read(_stanza: Manifest, _namespace: str, _fault: Fault) -> ServiceSelection:
    """Return the value of every such Rollout."""
    return ServiceSelection()


STANZA = Stanza(mapping(), read)
