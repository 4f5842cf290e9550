"""The subsets of a DestinationRule that play stable and canary, and the pod-template hash that each selects.

Source: Argo Rollouts, `UpdateHash` in `rollout/trafficrouting/istio/istio.go`: the hash label of both subsets, and an annotation
that shows whose they are. Different on purpose: all other subsets stay, and so does whatever else a subset has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.routers.backends.endpoints import pods_behind
from rollway.routers.backends.istio.virtual_service import GROUP, host_name, rule_ref, stanza_of
from rollway.routers.errors import ForeignOwnerError, ManifestError, NotFoundError
from rollway.routers.findings import Finding, Severity
from rollway.routers.model import HASH_LABEL, MANAGED_BY
from rollway.routers.objects import Access, Need, ObjectRef, dig, duplicate
from rollway.routers.traffic import SubsetHashes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest
    from rollway.routers.traffic import Traffic

_FIELDS = (
    f"/spec/subsets/*/labels/{HASH_LABEL}",
    f"/metadata/annotations/{MANAGED_BY.replace('/', '~1')}",
)


class SubsetPods(NamedTuple):
    """The addresses of the ready pods that a subset selects, and those of pods behind the same host that it does not."""

    host: str
    name: str
    ready: frozenset[str]
    others: frozenset[str]


def rule_need(rollout: Rollout, ref: ObjectRef) -> Need:
    """Read the DestinationRule; share the hash labels of its subsets where the Rollout asks for some."""
    need = Need(GROUP, ref.kind, ref.name, ref.namespace)
    return need if rollout.subsets is None else need._replace(access=Access.SHARED, fields=_FIELDS)


def read_hashes(rollout: Rollout, live: Live) -> SubsetHashes | None:
    """Read the hashes that the subsets of both roles select; None where the Rollout asks for none.

    Raises:
        ForeignOwnerError: the DestinationRule has the hashes of another Rollout.
        ManifestError: it cannot be read.
        NotFoundError: it has no such subset.
    """
    if rollout.subsets is None:
        return None
    rule, ref = stanza_of(rollout).destination_rule, rule_ref(rollout)
    if rule is None or ref is None:
        return None
    manifest = live[ref].manifest
    _refuse_foreign(rollout, ref, manifest)
    return SubsetHashes(
        *(
            str(_labels(ref, _subset(ref, manifest, name)).get(HASH_LABEL) or "")
            for name in (rule.stable_subset_name, rule.canary_subset_name)
        )
    )


def with_hashes(rollout: Rollout, live: Live) -> Iterator[Manifest]:
    """Yield the DestinationRule with the hashes that the Rollout asks for, where it has others.

    Raises what reading them raises.
    """
    present = read_hashes(rollout, live)
    rule, ref = stanza_of(rollout).destination_rule, rule_ref(rollout)
    if rule is None or ref is None or rollout.subsets is None or present is None:
        return
    changed: Manifest = duplicate(live[ref].manifest)
    names = (rule.stable_subset_name, rule.canary_subset_name)
    for name, before, pod_hash in zip(names, present, rollout.subsets, strict=True):
        if pod_hash and pod_hash != before:
            subset = _subset(ref, changed, name)
            subset["labels"] = {**_labels(ref, subset), HASH_LABEL: pod_hash}
            annotations = dig(changed, "metadata", "annotations") or {}
            changed["metadata"]["annotations"] = {**annotations, MANAGED_BY: rollout.name}
    if changed != live[ref].manifest:
        yield changed


def check_names(rollout: Rollout, want: Traffic, live: Live) -> Iterator[Finding]:
    """Report subsets that are not there, and subsets that are the same pods."""
    rule, ref = stanza_of(rollout).destination_rule, rule_ref(rollout)
    if rule is None or ref is None:
        return
    listed = _listed(live[ref].manifest)
    labels = {str(dig(entry, "name")): dig(entry, "labels") for entry in listed}
    for name, weight in (
        (rule.stable_subset_name, want.split.stable),
        (rule.canary_subset_name, want.split.canary),
    ):
        if name not in labels:
            severity = Severity.REFUSAL if weight else Severity.NOTE
            message = f"has no subset {name}: requests for it would be answered with 503"
            yield Finding("istio-subset-missing", severity, ref, message, "add the subset")
    if rule.stable_subset_name in labels and labels[rule.stable_subset_name] == labels.get(
        rule.canary_subset_name
    ):
        message = f"subsets {rule.stable_subset_name} and {rule.canary_subset_name} have the same labels, so both select the same pods"
        yield Finding("istio-subsets-alike", Severity.NOTE, ref, message)


def subset_pods(rollout: Rollout, live: Live) -> Iterator[SubsetPods]:
    """Yield the pods behind the host of the DestinationRule, for the subset of each role of a split by subsets.

    Nothing where the pods are not known: the host is in another namespace, or no single Service.
    """
    rule, ref = stanza_of(rollout).destination_rule, rule_ref(rollout)
    assert rule is not None, "it is a split by subsets"
    assert ref is not None, "it is a split by subsets"
    manifest = live[ref].manifest
    host = host_name(str(dig(manifest, "spec", "host")), ref.namespace)
    name, namespace, *_ = host.split(".")
    if namespace != ref.namespace or "*" in host:
        return
    endpoints = list(pods_behind(ObjectRef("", "Service", namespace, name), live))
    for subset in (rule.stable_subset_name, rule.canary_subset_name):
        labels = _labels(ref, _subset(ref, manifest, subset)).items()
        having = [each for each in endpoints if labels <= each.labels.items()]
        ready = {address for each in having if each.ready for address in each.addresses}
        others = {address for each in endpoints if each not in having for address in each.addresses}
        yield SubsetPods(host, subset, frozenset(ready), frozenset(others))


def _listed(manifest: Manifest) -> list[Any]:
    subsets = dig(manifest, "spec", "subsets")
    return subsets if isinstance(subsets, list) else []


def _subset(ref: ObjectRef, manifest: Manifest, name: str) -> Manifest:
    """Return the subset of a name."""
    named = [entry for entry in _listed(manifest) if isinstance(entry, dict) and entry.get("name") == name]
    if not named:
        known = ", ".join(str(dig(entry, "name")) for entry in _listed(manifest)) or "none at all"
        raise NotFoundError(
            f"{ref} has no subset {name}: its subsets are {known}", hint="add the subset", ref=ref
        )
    subset: Manifest = named[0]
    return subset


def _labels(ref: ObjectRef, subset: Manifest) -> dict[str, Any]:
    labels = subset.get("labels") or {}
    if not isinstance(labels, dict):
        raise ManifestError(ref, [f"labels of subset {subset['name']}: a mapping belongs here"])
    return labels


def _refuse_foreign(rollout: Rollout, ref: ObjectRef, manifest: Manifest) -> None:
    """Raise where the hashes are those of another Rollout: two of them would write over each other for ever."""
    owner = (dig(manifest, "metadata", "annotations") or {}).get(MANAGED_BY, rollout.name)
    if owner != rollout.name:
        raise ForeignOwnerError(
            f"{ref} is managed by another Rollout, {owner}",
            hint=f"give each Rollout a DestinationRule of its own, or remove the annotation {MANAGED_BY}",
            ref=ref,
        )
