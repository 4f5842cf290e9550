"""A Lease of coordination.k8s.io: one holder at a time, as for the leader among the replicas of a controller.

The rules are those of client-go, `tools/leaderelection`, so that the two can compete for one Lease: a Lease has run out
when it was not renewed for its duration, counted by the own clock from the moment at which its last change was seen,
because the clocks of two machines differ; every write carries the version that was read, so of two writers one loses.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rollway.routers.errors import ConflictError, NotFoundError
from rollway.routers.kube.client import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollway.routers.kube.client import Client, Object

DURATION_S = 15
"""How long a Lease lasts without renewal; client-go's default. Renew it about every two seconds."""


class Lease:
    """Take part in the contest for one Lease as `identity`, which must be this process's own.

    One thread calls `acquire` again and again: it takes the Lease, renews it, or finds it with another. Whoever holds it
    must stop its work when it was not renewed for `duration` seconds, which `held` shows without asking anybody.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        *,
        duration: int = DURATION_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.identity = identity
        self._client = client
        self._target = Target("coordination.k8s.io", "Lease", namespace, name)
        self._duration = duration
        self._clock = clock
        self._seen: dict[str, Any] = {}
        self._seen_at = float("-inf")
        self._renewed_at = float("-inf")
        self._written: Object | None = None
        """The Lease as this process wrote it last; None when another may have written it since."""

    @property
    def holder(self) -> str:
        """Who held it when it was last read; empty for nobody."""
        return str(self._seen.get("holderIdentity") or "")

    @property
    def held(self) -> bool:
        """Whether this process holds it: it does until its last renewal is as old as the duration."""
        return self.holder == self.identity and self._clock() < self._renewed_at + self._duration

    def acquire(self) -> bool:
        """Take it if it is free, has run out, or is held already, which renews it; return whether it is held now.

        Raises:
            StoreError: the Lease cannot be read or written; it may still be held.
        """
        asked_at = self._clock()
        if self.held and self._written:
            # The version that is written with shows whether it is still so, and saves a read.
            try:
                self._write(self._written, asked_at)
            except (ConflictError, NotFoundError):
                self._written = None
            else:
                return True
        lease = self._client.get(self._target)
        try:
            if lease is not None:
                self._remember(lease)
                if not self._is_free():
                    return False
            self._write(lease, asked_at)
        except ConflictError:
            # Another one was faster, or the answer got lost: the next call reads which.
            return self.held
        return True

    def _write(self, lease: Object | None, asked_at: float) -> None:
        """Claim the Lease as it was read, or a new one."""
        if lease is None:
            answer = self._client.create(self._new())
        else:
            answer = self._client.update({**lease, "spec": self._claim()})
        self._remember(answer.body)
        self._written, self._renewed_at = answer.body, asked_at

    def release(self) -> None:
        """Give it up, so that another one need not wait until it has run out; nothing happens when it is not held.

        Raises:
            StoreError: it cannot be written, and will run out.
        """
        lease = self._client.get(self._target)
        self._renewed_at, self._written = float("-inf"), None
        if lease is None or (lease.get("spec") or {}).get("holderIdentity") != self.identity:
            return
        free = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
        try:
            self._remember(self._client.update({**lease, "spec": free}).body)
        except (ConflictError, NotFoundError):
            return  # somebody else has it already

    def _is_free(self) -> bool:
        duration = self._seen.get("leaseDurationSeconds") or self._duration
        return self.holder in ("", self.identity) or self._clock() >= self._seen_at + duration

    def _remember(self, lease: Object) -> None:
        """Note when the Lease was first seen as it is now."""
        spec = lease.get("spec") or {}
        if spec != self._seen:
            self._seen, self._seen_at = spec, self._clock()

    def _claim(self) -> dict[str, Any]:
        same = self.holder == self.identity
        transitions = int(self._seen.get("leaseTransitions") or 0)
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._duration,
            "acquireTime": self._seen.get("acquireTime") if same else _now(),
            "renewTime": _now(),
            "leaseTransitions": transitions if same else transitions + 1,
        }

    def _new(self) -> Object:
        metadata = {"namespace": self._target.namespace, "name": self._target.name}
        spec = {**self._claim(), "leaseTransitions": 0}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def _now() -> str:
    """Return the time as a MicroTime of Kubernetes."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
