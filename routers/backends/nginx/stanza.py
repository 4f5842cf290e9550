"""The `trafficRouting.nginx` stanza. Source: Argo Rollouts, `NginxTrafficRouting` in pkg/apis/rollouts/v1alpha1/types.go."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rollway.routers.backends.stanzas import OBJECT_NAME, OPTIONAL_NAME, TEXT_MAP, Stanza, array, mapping

if TYPE_CHECKING:
    from rollway.routers.backends.stanzas import Fault
    from rollway.routers.objects import Manifest

DEFAULT_PREFIX = "nginx.ingress.kubernetes.io"


class NginxTrafficRouting(NamedTuple):
    """The Ingresses of the stable version, and the annotations of their canaries; keys come with their prefix."""

    stable_ingresses: tuple[str, ...]
    annotation_prefix: str = DEFAULT_PREFIX
    annotations: tuple[tuple[str, str], ...] = ()


def read(stanza: Manifest, _namespace: str, fault: Fault) -> NginxTrafficRouting:
    """Read a stanza that fits the schema."""
    single, several = stanza.get("stableIngress", ""), stanza.get("stableIngresses", [])
    if bool(single) == bool(several):
        given = "both are given" if single else "neither is given"
        fault(["stableIngress"], f"exactly one of stableIngress and stableIngresses is needed; {given}")
    for index, name in enumerate(several):
        if name in several[:index]:
            fault(["stableIngresses", index], f"Ingress {name!r} is listed twice")
    prefix = stanza.get("annotationPrefix") or DEFAULT_PREFIX
    additional = stanza.get("additionalIngressAnnotations", {})
    annotations = {
        key if key.startswith(prefix) else f"{prefix}/{key}": value for key, value in additional.items()
    }
    annotations |= stanza.get("canaryIngressAnnotations", {})
    return NginxTrafficRouting(tuple(several or [single]), prefix, tuple(sorted(annotations.items())))


STANZA = Stanza(
    mapping(
        stableIngress=OPTIONAL_NAME,
        stableIngresses=array(OBJECT_NAME),
        annotationPrefix={"type": "string"},
        additionalIngressAnnotations=TEXT_MAP,
        canaryIngressAnnotations=TEXT_MAP,
    ),
    read,
)
