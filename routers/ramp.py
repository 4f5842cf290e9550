"""Move a weight step by step, from whatever is live: which weights come, and how one step is taken."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Unpack

from rollway.routers.errors import (
    NotVerifiedError,
    RefusedError,
    RollwayError,
    StalePlanError,
    UnsupportedError,
    WeightError,
)
from rollway.routers.model import STABLE, Context
from rollway.routers.planning import refuse_unsupported, simulate
from rollway.routers.route_steps import RemoveRoute, SetRoute
from rollway.routers.steps import SetWeight
from rollway.routers.traffic import HeaderRoute, Outcome, Traffic
from rollway.routers.waiting import looks_within
from rollway.routers.weights import Split, parse_weight, percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rollway.routers.applying import Result
    from rollway.routers.backends import Backend
    from rollway.routers.model import Rollout
    from rollway.routers.objects import Live, Pointer
    from rollway.routers.probes import Probe
    from rollway.routers.router import TrafficRouter
    from rollway.routers.steps import Step
    from rollway.routers.traffic import RequestSample
    from rollway.routers.write_options import WriteOptions

PATIENCE_S = 120.0
"""How long a step waits for an API server that does not answer, unless the caller sets another."""
MIN_REQUESTS = 100
"""From how many requests of the canary on a share of failures means something, unless the caller sets another."""
_MOST_SAMPLES = 50


@dataclass(frozen=True)
class ErrorLimit:
    """How many of the canary's requests may fail: more than `rate` of at least `requests` are too many.

    It is the plain rate of what was counted. A failure of which nobody knows who caused it counts as the canary's: what
    is behind a crashed canary answers for neither version, and stable answered before.
    """

    rate: Fraction
    requests: int = MIN_REQUESTS

    @classmethod
    def parse(cls, text: str, requests: int = MIN_REQUESTS) -> ErrorLimit:
        """Read a rate like `1%`, `0.5%` or `1/1000`.

        Raises:
            WeightError: it is none, or there is nothing to count.
        """
        if not text.strip().endswith("%") and "/" not in text:
            raise WeightError(
                f"{text!r} is no share of requests", hint="give a percentage (1%) or a fraction (1/1000)"
            )
        if requests < 1:
            raise WeightError(f"{requests} requests show no share of failures", hint="give at least 1")
        return cls(Fraction(parse_weight(text, _PARTS), _PARTS), requests)

    def judge(self, samples: Sequence[RequestSample]) -> Outcome:
        """Return whether the samples keep the limit (MATCHES), break it (DIFFERS), or are too few (UNKNOWN)."""
        failed, counted = _failures(samples)
        # What broke the limit of so many requests stays broken, whatever the missing ones would be.
        if failed > self.rate * max(counted, self.requests):
            return Outcome.DIFFERS
        return Outcome.MATCHES if counted >= self.requests else Outcome.UNKNOWN


_PARTS = 1_000_000
"""A share of requests is read out of so many."""


def _failures(samples: Sequence[RequestSample]) -> tuple[int, int]:
    """Return how many requests of the canary failed, and how many there were."""
    failed = sum(sample.canary_failed + sample.failed for sample in samples)
    return failed, failed + sum(sample.canary for sample in samples)


def failures_text(samples: Sequence[RequestSample]) -> str:
    """Write how many requests of the canary failed: `3 of 512 requests of the canary failed (0.5859 %)`."""
    failed, counted = _failures(samples)
    share = f" ({percent(failed, counted)})" if counted else ""
    return f"{failed} of {counted} requests of the canary failed{share}"


@dataclass(frozen=True)
class ErrorWatch:
    """Count the requests of the canary by probes that show the evidence `measured`, and judge how many failed."""

    limit: ErrorLimit
    probes: tuple[Probe, ...]

    def count(self, context: Context) -> tuple[RequestSample, ...]:
        """Take samples until they keep or break the limit.

        Raises:
            NotVerifiedError: requests cannot be counted, or too few of them are the canary's.
        """
        samples: tuple[RequestSample, ...] = ()
        for _ in range(_MOST_SAMPLES):
            verdicts = [probe.judge(context) for probe in self.probes]
            taken = tuple(sample for verdict in verdicts for sample in verdict.samples)
            if not taken:
                reasons = "; ".join(verdict.reason for verdict in verdicts if verdict.reason)
                raise NotVerifiedError(
                    f"{context.rollout.ref}: the requests of the canary cannot be counted: {reasons}"
                )
            samples += taken
            if self.limit.judge(samples) is not Outcome.UNKNOWN:
                return samples
        raise NotVerifiedError(
            f"{context.rollout.ref}: {failures_text(samples)}, which are too few to judge: {self.limit.requests} are needed",
            hint="count more of them at once, or give a larger weight",
        )


def weights(start: int | str, end: int | str, step: int | str, total: int, live: int) -> list[int]:
    """Return the weights that are still to come, the last one included; `live` is the weight now.

    Raises:
        WeightError: a weight cannot be read, or the step is 0.
        RefusedError: the live weight is beyond the end already.
    """
    first, last, size = (parse_weight(word, total) for word in (start, end, step))
    if not size:
        raise WeightError(f"a step of {step} of {total} never ends", hint="give --step at least 1")
    sign = 1 if last >= first else -1
    if (live - last) * sign > 0:
        raise RefusedError(
            f"the canary has {live} of {total} already, which is beyond {last}",
            hint=f"ramp from there ({live}..{last}), or set the weight at once",
        )
    planned = [*range(first, last, size * sign), last]
    # A ramp that stopped goes on: what is reached is not set again, except the weight that it ends at.
    return [weight for weight in planned if (weight - live) * sign > 0] or [last]


def refuse_routes(rollout: Rollout, steps: Sequence[Step]) -> None:
    """Refuse steps with routes that a backend of the Rollout does not have, or not beside a weight, before any is taken.

    Raises:
        UnsupportedError: a backend has no such routes.
    """
    now = Traffic(rollout.split(0))
    for step in steps:
        now = after(now, step)
        if now.routes:
            refuse_unsupported(rollout, now)


def after(traffic: Traffic, step: Step) -> Traffic:
    """Return the traffic after a step is taken."""
    if isinstance(step, SetWeight):
        return replace(traffic, split=Split(step.weight, traffic.split.total))
    if isinstance(step, SetRoute):
        return traffic.with_route(step.route)
    return traffic.without([step.name]) if isinstance(step, RemoveRoute) else traffic


def unsupported_steps(
    steps: Sequence[tuple[Pointer, Step]], rollout: Rollout, live: Live, backends: Sequence[Backend]
) -> Iterator[tuple[Pointer, str]]:
    """Yield the steps after which a backend would have routes that it cannot have, or not beside that weight, and why.

    `backends` are those whose objects are all there, which show more than the kind of the route.
    """
    now = Traffic(Split(0, rollout.total))
    for path, step in steps:
        coming = after(now, step)
        reason = ""
        if coming.routes and coming != now:
            reason = _unsupported(Context(rollout, coming, live), backends)
        if reason:
            yield path, f"{step.route}: {reason}" if isinstance(step, SetRoute) else reason
        else:
            now = coming


def _unsupported(context: Context, backends: Sequence[Backend]) -> str:
    """Return why a backend cannot have the routes of a wish; empty: nothing is against it."""
    try:
        refuse_unsupported(context.rollout, context.want)
        simulate(context, adopt=True, backends=backends)
    except UnsupportedError as error:
        return error.message + (f"; {error.hint}" if error.hint else "")
    except RollwayError:
        pass  # what else is wrong with the objects is met by weights as well
    return ""


@dataclass
class Ramp:
    """Take the steps of one ramp.

    Header and mirror routes that steps set stay until a step removes them, or all traffic goes back to stable.
    A step that fails because the API server does not answer is tried again for `patience` seconds; `waiting` gets
    why. A weight that somebody else set in the meantime ends the ramp.
    """

    router: TrafficRouter
    live: int
    patience: float = PATIENCE_S
    waiting: Callable[[str], None] = field(default=lambda _reason: None)
    _reached: set[int] = field(default_factory=set)

    def advance(self, weight: int, **options: Unpack[WriteOptions]) -> Result:
        """Set the next weight.

        Raises:
            StalePlanError: the weight is no longer the one that this ramp left.
            RollwayError: anything that `set_weight` raises, and that waiting does not repair.
        """
        self._reached = {self.live}
        return self._patiently(weight, lambda: self.router.set_weight(weight, **options))

    def change_route(self, step: SetRoute | RemoveRoute, **options: Unpack[WriteOptions]) -> Result:
        """Set or remove a header or mirror route, and keep the weight.

        Raises:
            StalePlanError: the weight is no longer the one that this ramp left.
            RollwayError: anything that the call of the router raises, and that waiting does not repair.
        """
        self._reached = {self.live}
        return self._patiently(self.live, lambda: self._write_route(step, options))

    def back(self) -> Result:
        """Send all traffic to stable, whatever the weight is now; header and mirror routes are removed.

        Raises:
            RollwayError: anything that `switch` raises, and that waiting does not repair.
        """
        return self._patiently(0, lambda: self.router.switch(STABLE), check=False)

    def _write_route(self, step: SetRoute | RemoveRoute, options: WriteOptions) -> Result:
        router = self.router
        if isinstance(step, SetRoute):
            if isinstance(step.route, HeaderRoute):
                return router.set_header_route(step.route, **options)
            return router.set_mirror_route(step.route, **options)
        remove = router.remove_header_route if step.kind == "header" else router.remove_mirror_route
        return remove(step.name, **options)

    def _patiently(self, weight: int, write: Callable[[], Result], *, check: bool = True) -> Result:
        """Write what leaves the canary at a weight, again and again while the API server does not answer."""
        for left in looks_within(self.patience, 0.2, longest=5.0):
            try:
                if check:
                    self._refuse_foreign()
                # From here on the write may have been stored, whatever becomes of its answer.
                self._reached.add(weight)
                result = write()
            except RollwayError as error:
                if not error.retryable or not left:
                    raise
                self.waiting(error.message)
            else:
                self.live = weight
                return result
        raise AssertionError("the last look returns or raises")

    def _refuse_foreign(self) -> None:
        traffic = self.router.observe().traffic
        if traffic is not None and traffic.split.canary not in self._reached:
            raise StalePlanError(
                f"{self.router.rollout.ref}: the canary has {traffic.split.canary} of {traffic.split.total} now, and this ramp "
                f"left it at {self.live}: somebody else set it",
                hint="run the ramp again from there if that is what is wanted",
            )
