"""One measurement: ask the provider of a metric, and decide its conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.analysis.arguments import redacted
from rollway.analysis.providers import provider
from rollway.analysis.run import Measured
from rollway.analysis.status import Measurement, Phase
from rollway.routers.errors import RollwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from typing import Any, TypeAlias

    from rollway.analysis.providers.protocol import Inputs, Request, Response
    from rollway.analysis.spec import Metric

    Ask: TypeAlias = Callable[[Request], Response]

VALUE = 10_000
"""How many characters of a value a measurement keeps: an object of the API has at most 1.5 MB."""


def phase_of(metric: Metric, result: Any, now: datetime) -> Phase:
    """Return what the conditions of a metric make of a result.

    Without conditions everything is successful; with one of them, its opposite decides; with both, what meets neither is
    inconclusive, and what meets both has failed (Argo Rollouts, `utils/evaluate/evaluate.go`).

    Raises:
        ConditionError: a condition cannot be decided for the result.
    """
    good = metric.success.holds(result, now) if metric.success else None
    bad = metric.failure.holds(result, now) if metric.failure else None
    if good is None and bad is None:
        return Phase.SUCCESSFUL
    if bad or (bad is None and not good):
        return Phase.FAILED
    return Phase.SUCCESSFUL if good or good is None else Phase.INCONCLUSIVE


def measure(
    metric: Metric, ask: Ask, inputs: Inputs, clock: Callable[[], datetime], secrets: Sequence[str] = ()
) -> Measured:
    """Take one measurement of a metric; whatever goes wrong is a measurement with the phase Error.

    No secret shows in what comes of it.
    """
    asked = provider(metric.provider)
    metadata = {key: redacted(value, secrets) for key, value in asked.metadata(metric.settings).items()}
    started = inputs.now
    try:
        request = asked.request(metric.settings, inputs)
        secrets = (*secrets, *_credentials(request))
        reading = asked.read(metric.settings, ask(request))
        value = _shortened(redacted(reading.value, secrets))
        notes = {key: redacted(note, secrets) for key, note in reading.metadata.items()}
    except RollwayError as error:
        return Measured(_failed(started, clock(), redacted(error.message, secrets)), metadata)
    try:
        phase = phase_of(metric, reading.result, inputs.now)
    except RollwayError as error:
        message = redacted(error.message, secrets)
        return Measured(_failed(started, clock(), message, value), metadata)
    return Measured(Measurement(phase, started, clock(), value, metadata=notes), metadata)


def _credentials(request: Request) -> Iterator[str]:
    """Yield the tokens of a request, which a server may repeat in its answer, also where the template has them as text."""
    for name, value in request.headers:
        if name.lower() == "authorization":
            yield value.rpartition(" ")[2]
    if request.oauth2:
        yield request.oauth2.client_secret


def _failed(started: datetime, finished: datetime, message: str, value: str = "") -> Measurement:
    return Measurement(Phase.ERROR, started, finished, value, message)


def _shortened(value: str) -> str:
    return value if len(value) <= VALUE else f"{value[:VALUE]}..."
