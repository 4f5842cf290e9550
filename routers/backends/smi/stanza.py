"""The `trafficRouting.smi` stanza. Source: Argo Rollouts, `SMITrafficRouting` in pkg/apis/rollouts/v1alpha1/types.go."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rollway.routers.backends.stanzas import OPTIONAL_NAME, Stanza, mapping

if TYPE_CHECKING:
    from rollway.routers.backends.stanzas import Fault
    from rollway.routers.objects import Manifest


class SmiTrafficRouting(NamedTuple):
    """The Service that clients call (default: the stable one), and the TrafficSplit (default: the Rollout's name)."""

    root_service: str = ""
    traffic_split_name: str = ""


def read(stanza: Manifest, _namespace: str, _fault: Fault) -> SmiTrafficRouting:
    """Read a stanza that fits the schema."""
    return SmiTrafficRouting(stanza.get("rootService", ""), stanza.get("trafficSplitName", ""))


STANZA = Stanza(mapping(rootService=OPTIONAL_NAME, trafficSplitName=OPTIONAL_NAME), read)
