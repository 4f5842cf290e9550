"""Which pod-template hash is stable, and which is the canary, by what the Services select and what they remember.

While the active Service selects the canary, its annotations hold both hashes. Without them, what it selects is stable.
What contradicts this is never decided by a guess: the caller names the stable hash, or nothing is written.

Sources: Argo Rollouts, `rollout/bluegreen.go` and `rollout/service.go` (both Services select by the label below; the
newest ReplicaSet is in preview, and `status.stableRS` is the hash of the last one that was promoted).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rollway.routers.errors import InvalidInputError, ManifestError, UnsupportedError
from rollway.routers.model import HASH_LABEL, ReleaseHashes
from rollway.routers.objects import ObjectRef, dig

if TYPE_CHECKING:
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Manifest

STABLE_ANNOTATION = "rollway.dev/stable-hash"
CANARY_ANNOTATION = "rollway.dev/canary-hash"


class Memory(NamedTuple):
    """The two hashes at the last switch to the canary, as the active Service remembers them; empty before."""

    stable: str = ""
    canary: str = ""


class Release(NamedTuple):
    """What the active Service selects, and the hashes of the two roles; each is empty where it is not known.

    `doubt` is the reason why the stable one is not known.
    """

    active: str
    stable: str
    canary: str
    doubt: str = ""


def active_ref(rollout: Rollout) -> ObjectRef:
    """Return the Service of the users."""
    return ObjectRef("", "Service", rollout.namespace, rollout.stable_service)


def preview_ref(rollout: Rollout) -> ObjectRef | None:
    """Return the Service for previews, if there is one."""
    name = rollout.canary_service
    return ObjectRef("", "Service", rollout.namespace, name) if name else None


def read_release(rollout: Rollout, live: Live) -> Release:
    """Find out the roles.

    Raises:
        InvalidInputError: the caller names a stable hash that neither the Services nor the status know.
        ManifestError: a Service cannot be read.
        UnsupportedError: a Service selects no pods at all.
    """
    ref, preview = active_ref(rollout), preview_ref(rollout)
    service = live[ref].manifest
    active, memory = selected_hash(ref, service), read_memory(ref, service)
    named = rollout.hashes or ReleaseHashes()
    newest = selected_hash(preview, live[preview].manifest) if preview else named.reported_newest
    if named.stable:
        known = (active, *memory, newest, named.reported_stable)
        if named.stable not in known:
            listed = ", ".join(dict.fromkeys(filter(None, known))) or "none at all"
            raise InvalidInputError(
                f"{named.stable!r} is no pod-template hash that the Services of {rollout.ref} know",
                hint=f"those that they know: {listed}",
            )
        stable, doubt = named.stable, ""
    else:
        stable, doubt = _stable(active, memory, named.reported_stable)
    held = memory.canary if active == memory.canary else ""
    return Release(active, stable, named.canary or newest or held, doubt)


def _stable(active: str, memory: Memory, reported: str) -> tuple[str, str]:
    """Return the stable hash, or why it is not known.

    A status that agrees with the live selector outweighs the memory: a controller has promoted that release since.
    """
    if not active:
        everything = f"its selector has no {HASH_LABEL}, so it selects the pods of every release"
        return reported, "" if reported else everything
    if reported == active or not (reported or memory.stable):
        return active, ""
    selects = f"it selects the pods of {active}"
    if memory.stable and active not in memory:
        return "", (
            f"{selects}, and rollway remembers {memory.stable} as stable and {memory.canary} as canary: somebody else has "
            "switched it"
        )
    if reported and reported != memory.stable:
        remembered = f", and rollway remembers {memory.stable}" if memory.stable else ""
        return "", f"{selects}, and the status of the Rollout names {reported} as stable{remembered}"
    return memory.stable, ""


def selected_hash(ref: ObjectRef, service: Manifest) -> str:
    """Return the hash that a Service selects; empty where it selects by other labels alone.

    Raises:
        ManifestError: the selector is no mapping of texts.
        UnsupportedError: there is no selector, so the endpoints are somebody else's.
    """
    selector = dig(service, "spec", "selector")
    if not selector or dig(service, "spec", "type") == "ExternalName":
        raise UnsupportedError(
            f"{ref} selects no pods, so its endpoints are somebody else's",
            hint="give it a selector, or route by trafficRouting",
            ref=ref,
        )
    return _texts(ref, "spec.selector", selector).get(HASH_LABEL, "")


def read_memory(ref: ObjectRef, service: Manifest) -> Memory:
    """Return what a Service remembers.

    Raises:
        ManifestError: the annotations are no mapping of texts.
    """
    annotations = _texts(ref, "metadata.annotations", dig(service, "metadata", "annotations") or {})
    return Memory(annotations.get(STABLE_ANNOTATION, ""), annotations.get(CANARY_ANNOTATION, ""))


def _texts(ref: ObjectRef, name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ManifestError(ref, [f"{name}: is no mapping of texts (put each value in quotes)"])
    return value
