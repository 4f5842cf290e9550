"""The codes of what a mesh with SMI leaves open, and of shares that come out differently. `checks.py` finds them."""

from __future__ import annotations

from rollway.routers.findings import FindingCode

FINDINGS = (
    FindingCode(
        "smi-overlap",
        "Another TrafficSplit splits the same root Service.",
        "SMI does not define which of the two counts, so the weight may be ignored.",
        "Remove one of the two.",
    ),
    FindingCode(
        "smi-root-service",
        "The root Service is not the stable one, so without the TrafficSplit its own selector decides.",
        "Clients of the root Service get whatever pods it selects, canary ones too.",
        "Keep the TrafficSplit, or let the root Service be the stable one.",
    ),
    FindingCode(
        "smi-matches",
        "The TrafficSplit has matches, which somebody else has added to it.",
        "The weight is the share of the requests that match; all others go to the root Service.",
        "Nothing, if that is what you want; otherwise take the matches out.",
    ),
    FindingCode(
        "smi-matches-unproven",
        "A header route needs a mesh that acts on the `matches` of a TrafficSplit, and nothing shows whether this one does.",
        "A mesh that does not act on them sends all requests of all users to the canary.",
        "Look whether the mesh does with a Service that no user calls, then allow it with each command while the route is there. "
        "The page of the backend names the meshes that are known to do it.",
    ),
    FindingCode(
        "smi-effective-share",
        "Other backends take part in the TrafficSplit, and keep their weights.",
        "The canary's share counts of what stable and canary have together, and the message gives it.",
        "Nothing, if that is what you want.",
    ),
    FindingCode(
        "smi-version-guessed",
        "Nothing in the store shows which API version of TrafficSplit the mesh serves.",
        "A mesh that does not serve the version that is written refuses the object.",
        "Keep a TrafficSplit or its CustomResourceDefinition in the store.",
    ),
)
