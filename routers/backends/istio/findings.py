"""The codes of what Envoy would reject, and of shares that come out differently. `backend.py` finds them."""

from __future__ import annotations

from rollway.routers.backends.destinations import share_codes
from rollway.routers.findings import FindingCode

FINDINGS = (
    FindingCode(
        "istio-subset-missing",
        "The DestinationRule has no subset of a name that the Rollout gives.",
        "Requests for that subset are answered with 503.",
        "Add the subset to the DestinationRule, or correct its name in the Rollout.",
    ),
    FindingCode(
        "istio-subsets-alike",
        "The stable and the canary subset have the same labels.",
        "Both select the same pods, so the weight changes nothing.",
        "Give each subset the labels of its own pods; a controller often does it when a release starts.",
    ),
    FindingCode(
        "istio-zero-sum",
        "All weights of a route are 0.",
        "Envoy rejects its whole route table, so no change of any host of that port reaches it.",
        "Give one destination of the route a weight.",
    ),
    FindingCode(
        "istio-section-missing",
        "The Rollout selects routes in a section (http, tls, tcp) that the VirtualService does not have.",
        "Nothing: the other sections carry the weight.",
        "Leave the selection out, or add the section.",
    ),
    *share_codes("istio"),
    FindingCode(
        "istio-not-http",
        "A tls or tcp route carries the weights beside http routes, and a header or mirror route is asked for.",
        "Its connections are shared by the weights alone: only http routes see headers, paths and methods.",
        "Nothing, if that is what you want.",
    ),
)
