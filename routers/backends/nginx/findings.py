"""The codes of what ingress-nginx would ignore, reject or break. `backend.py` finds them."""

from __future__ import annotations

from rollway.routers.findings import FindingCode

FINDINGS = (
    FindingCode(
        "nginx-bad-annotation",
        "A canary annotation in the Rollout's nginx stanza has a value that the controller does not accept.",
        "The controller drops the value and works with its default, so requests are chosen in another way than asked.",
        "Correct the annotations in the nginx stanza.",
    ),
    FindingCode(
        "nginx-stable-is-canary",
        "The stable Ingress is marked as a canary itself.",
        "The controller serves no path of it, so there is nothing to split.",
        "Name the Ingress that serves the stable version.",
    ),
    FindingCode(
        "nginx-location-missing",
        "The controller makes no location of a path that leads to the stable Service.",
        "The path is answered with 404 or by the default backend, whatever the weight.",
        "Use each Service for one purpose only: the message names the Ingress in the way.",
    ),
    FindingCode(
        "nginx-path-taken",
        "Another Ingress, an older one, serves the same host and path.",
        "The canary takes part of the traffic of that other Ingress, or gets none.",
        "Let one Ingress serve this host and path.",
    ),
    FindingCode(
        "nginx-canary-ignored",
        "The controller does not merge the canary Ingress into the stable one.",
        "The weight is written and the canary gets no request; the controller only logs it.",
        "Correct what the message gives as the reason.",
    ),
    FindingCode(
        "nginx-second-canary",
        "Another canary Ingress is merged into the same Service first, and the controller uses only the first.",
        "The weight is written and ignored; the other canary keeps its share.",
        "Remove the other canary Ingress, which the message names.",
    ),
    FindingCode(
        "nginx-canary-service-shared",
        "Another Ingress uses the canary Service too, and the controller takes the policy of the first.",
        "The weight of the canary Ingress is ignored.",
        "Give the canary a Service that no other Ingress uses.",
    ),
    FindingCode(
        "nginx-config-refused",
        "Ingresses of one host make a location twice, so nginx refuses the whole configuration.",
        "No change of any host reaches nginx any more, and it goes on with the last configuration that it took.",
        "Let one Ingress have the path, in one pathType.",
    ),
    FindingCode(
        "nginx-breaks-other",
        "A path of another Ingress leads to the Service that becomes the canary.",
        "That path is answered with 404, because the controller serves no path to a canary's Service.",
        "Give the canary a Service that no other Ingress uses.",
    ),
    FindingCode(
        "nginx-wider-effect",
        "The stable Service is served by paths of other Ingresses too.",
        "Requests to those paths are split as well: the controller splits a Service wherever it is served.",
        "Nothing, if that is what you want; otherwise give those paths a Service of their own.",
    ),
    FindingCode(
        "nginx-service-port",
        "The canary Service lacks a port that the stable Ingress uses.",
        "The canary has no endpoint there, so its share of the requests is answered with 503.",
        "Add the port to the Service.",
    ),
    FindingCode(
        "nginx-header-first",
        "The canary Ingress has a header or a cookie that chooses the version.",
        "Requests with it go by it, and not by the weight.",
        "Nothing, if that is what you want.",
    ),
    FindingCode(
        "nginx-snippet",
        "The canary Ingress has a snippet annotation.",
        "A controller that does not allow snippets keeps the previous version of the whole object, with its old weight.",
        "Allow snippets in the controller, or leave the annotation out.",
    ),
    FindingCode(
        "nginx-default-backend",
        "The stable Ingress has a default backend, which the canary Ingress does not copy.",
        "Requests that match no path are not split.",
        "Add the path that is to be split.",
    ),
    FindingCode(
        "nginx-empty-path",
        "The stable Ingress leaves a path out, which the canary Ingress writes as `/`.",
        "Nothing: the controller takes both for the same, and only written out do they match.",
        "Nothing.",
    ),
)
