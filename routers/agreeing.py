"""See that all objects of a Rollout agree after a call, where no lock keeps other calls out.

Every call reads again after its last write. So whoever writes last sees the final state: at the end the objects agree,
or that call has reported that they do not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from rollway.routers import planning
from rollway.routers.applying import ATTEMPTS, read_again
from rollway.routers.errors import NotVerifiedError, is_retryable
from rollway.routers.model import Context
from rollway.routers.observation import observe
from rollway.routers.removing import propose_again

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollway.routers.applying import Result, Writer
    from rollway.routers.plan import Plan

_T = TypeVar("_T")


def settle(writer: Writer, result: Result, *, reviewed: bool = False) -> Result:
    """Return the result of a write once all objects are as it wants them; what differs is planned and written again.

    A plan that was `reviewed` is not made again.

    Raises:
        NotVerifiedError: another call has set another weight, or the objects do not agree with each other.
        RollwayError: anything that `Writer.apply` raises.
    """
    needs = planning.target_needs(result.rollout)
    alone = len(needs) < 2 and all(need.name for need in needs)
    if result.plan is None or not result.changed or alone:
        return result
    agreement = _Agreement(writer, result.plan, result)
    try:
        return agreement.reach(write=False)
    except NotVerifiedError as error:
        if reviewed or not error.retryable:
            raise
    return until_settled(agreement.reach)


def until_settled(call: Callable[[], _T]) -> _T:
    """Call until it raises nothing that may pass by itself, after growing random pauses, a bounded number of times."""
    import tenacity  # noqa: PLC0415 - 30 ms that only a disagreement costs

    again = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_retryable),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=0.05, max=2),
        reraise=True,
    )
    return again(call)


@dataclass(eq=False, repr=False)
class _Agreement:
    """One call on its way to objects that agree."""

    writer: Writer
    plan: Plan
    result: Result

    def reach(self, *, write: bool = True) -> Result:
        """Return the result if nothing is left to do for the plan's wish; `write` what is left before that is reported."""
        rest = self._look()
        if rest and write:
            more = self.writer.apply(rest)
            written = tuple(dict.fromkeys([*self.result.written, *more.written]))
            self.result = replace(self.result, written=written, live=more.live)
            rest = self._look()
        if rest:
            raise self._overtaken()
        return self.result

    def _look(self) -> Plan | None:
        """Read again, and return what is left to do.

        Raises:
            NotVerifiedError: the objects agree on the weight of another call, which is left alone.
        """
        context = read_again(self.writer.store, Context(self.plan.rollout, self.plan.want, self.result.live))
        self.result = replace(self.result, live=context.live)
        rest = propose_again(self.plan, context.live).plan
        if rest and planning.settled_traffic(context.rollout, context.live) not in (None, rest.want):
            raise self._overtaken()
        return rest

    def _overtaken(self) -> NotVerifiedError:
        rollout, live = self.plan.rollout, self.result.live
        settled = planning.settled_traffic(rollout, live)
        if settled:
            routes = "".join(f", {route}" for route in settled.routes)
            return NotVerifiedError(
                f"{rollout.ref}: another call has given the canary {settled.split.canary} of {settled.split.total}{routes} "
                "meanwhile"
            )
        problem = observe(rollout, live).disagreement
        return NotVerifiedError(
            str(problem or f"{rollout.ref}: its objects do not have the same routes"), retryable=True
        )
