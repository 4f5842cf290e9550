"""The data plane: an Acme router answers `/weights` with the weights of every route that it has loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rollway.routers.backends.data_plane import DataPlane, PolicyRule
from rollway.routers.objects import dig
from rollway.routers.probes.http import ask_each, fetch, summary
from rollway.routers.probes.pods import PodPort
from rollway.routers.traffic import Evidence, ObjectVerdict, Outcome
from rollway_acme import ADMIN
from rollway_acme.backend import GROUP, pair_weights, route_ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.model import Context, Rollout
    from rollway.routers.objects import Live
    from rollway.routers.probes.http import Address, Find
    from rollway.routers.probes.pods import Pods
    from rollway.routers.traffic import Verdict

LABELS = "app=acme-router"
PORT = 9900


@dataclass(frozen=True)
class AcmeProbe:
    """Ask every Acme router."""

    find: Find
    evidence: Evidence = Evidence.LOADED
    backends: frozenset[str] = frozenset({"acme"})

    def judge(self, context: Context) -> Verdict:
        """Compare what each router has with the WeightedRoute."""
        ref = route_ref(context.rollout)

        def look(address: Address) -> Verdict:
            loaded = dig(fetch(address, "/weights"), ref.name)
            same = loaded == pair_weights(context.rollout, context.live)
            outcome = Outcome.MATCHES if same else Outcome.DIFFERS
            return summary([ObjectVerdict(ref, outcome, f"has {loaded}")])

        return ask_each("Acme", self.find, context, [ref], look)


def routers(pods: Pods, _rollout: Rollout, _live: Live) -> Iterator[PodPort]:
    """Yield the admin ports of all Acme routers."""
    return (PodPort(ref, PORT) for ref, _ in pods.running(LABELS))


DATA_PLANE = DataPlane(
    probe=lambda places: AcmeProbe(places[ADMIN.name]),
    pods={ADMIN.name: routers},
    rules=(PolicyRule(GROUP, "routers", ("get",)),),
)
