"""The codes of what an implementation of Gateway API ignores or rejects. `checks.py` finds them."""

from __future__ import annotations

from rollway.routers.backends.destinations import share_codes
from rollway.routers.findings import FindingCode

FINDINGS = (
    *share_codes("gateway"),
    FindingCode(
        "gateway-limit",
        "A route would have more rules, matches or backendRefs than Gateway API allows.",
        "The API server refuses the object.",
        "Divide the route into two, and name both in the Rollout.",
    ),
    FindingCode(
        "gateway-not-accepted",
        "A controller reports in the route's status that it has not accepted the route as it is now.",
        "Its Gateway sends no request by this route, so the weight changes nothing there.",
        "Mend what the condition names: the parentRefs, the listener, or the field that is not supported.",
    ),
    FindingCode(
        "gateway-partly-invalid",
        "A controller reports that a reference of the route cannot be resolved, or that it ignores a part of the route.",
        "The requests for that reference are answered with 500; a rule that was dropped gets none.",
        "Mend what the condition names.",
    ),
    FindingCode(
        "gateway-port",
        "A backendRef has no port, or one that the Service does not have.",
        "The reference is not valid, and its share of the requests is answered with 500.",
        "Give the reference a port of the Service.",
    ),
    FindingCode(
        "gateway-ports-differ",
        "The backendRefs of stable and canary in one rule have different ports.",
        "Nothing, if the two versions listen there.",
        "Nothing, if that is what you want.",
    ),
    FindingCode(
        "gateway-reference-grant",
        "The route is in another namespace than the Services, and no ReferenceGrant lets it refer to them.",
        "The reference is not valid, and its share of the requests is answered with 500.",
        "Add a ReferenceGrant in the namespace of the Services.",
    ),
    FindingCode(
        "gateway-field-not-used",
        "The Gateway API stanza has a key of Argo Rollouts' plugin that rollway does not act on.",
        "Nothing: the key is read and left alone.",
        "Nothing, or take the key away.",
    ),
    FindingCode(
        "gateway-not-supported",
        "An implementation that serves the route lacks a feature that the change needs, by its conformance report.",
        "The rule is ignored, or answered with an error.",
        "Do without the feature, or see whether your version can, and allow it.",
    ),
    FindingCode(
        "gateway-implementation-unknown",
        "Nothing is known of the controller that reports on a route with header or mirror routes.",
        "Nothing, if it does what Gateway API describes.",
        "See its conformance report.",
    ),
    FindingCode(
        "gateway-pattern",
        "A header route compares a header with a prefix or a pattern, which Gateway API leaves to implementations.",
        "An implementation that does not know RegularExpression ignores or rejects the rule.",
        "Use an exact value, or try the pattern with your implementation.",
    ),
    FindingCode(
        "gateway-rule-names",
        "Header and mirror routes are found again by the names of rules, which older CRDs do not keep.",
        "A tool that applies the files without validation loses the names, and the rules stay in the route for ever.",
        "Use the CRDs of Gateway API v1.4 or newer, or the experimental channel since v1.2.",
    ),
)
