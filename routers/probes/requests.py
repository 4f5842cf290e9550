"""Evidence `measured`: send requests to a URL that the user gave, and count which version answers."""

from __future__ import annotations

import collections
import math
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from rollway.routers.errors import InvalidInputError
from rollway.routers.model import CANARY, STABLE
from rollway.routers.traffic import Evidence, Outcome, RequestSample, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import urllib3

    from rollway.routers.model import Context, Rollout
    from rollway.routers.weights import Split

REQUESTS = 1000
MOST_REQUESTS = 100_000
RATE = 100
"""Requests per second, unless another rate is asked for: little beside the traffic of a shop that needs a canary."""
BODY = 64 * 1024
"""How much of an answer is looked at, in bytes."""
TIMEOUT_S = 5.0
CONNECTIONS = 4
DEVIATIONS = 4
"""How many standard deviations a count may be off: by chance one sample of sixteen thousand is further away."""


class Identity(NamedTuple):
    """Where an answer names its version: a response header, a response cookie, or the body.

    `value` is what the canary answers; empty means that the answer names the version or the Service.
    """

    source: str
    name: str
    value: str = ""

    @classmethod
    def parse(cls, text: str) -> Identity:
        """Read `header:NAME[=VALUE]`, `cookie:NAME[=VALUE]` or `body:REGEX`.

        Raises:
            InvalidInputError: it is none of these, or the regular expression is none.
        """
        source, _, rest = text.partition(":")
        if source not in ("header", "cookie", "body") or not rest:
            raise InvalidInputError(
                f"{text!r} does not show how to identify a version",
                hint="use header:NAME, header:NAME=VALUE, cookie:NAME, cookie:NAME=VALUE or body:REGEX",
            )
        if source == "body":
            try:
                re.compile(rest)
            except re.error as error:
                raise InvalidInputError(f"{rest!r} is no regular expression: {error}") from None
            return cls(source, rest)
        name, _, value = rest.partition("=")
        return cls(source, name, value)

    def version(self, headers: Mapping[str, str], cookies: Iterable[str], body: str) -> str:
        """Return the version that the answer names; empty when it names none.

        A regular expression with a group returns what the group matched; one without returns the canary where it matches,
        else stable.
        """
        if self.source == "header":
            return headers.get(self.name, "")
        if self.source == "cookie":
            # http.cookies takes a cookie called `version` for an attribute of another one.
            pairs = (line.partition(";")[0].partition("=") for line in cookies)
            for name, _, value in pairs:
                if name.strip() == self.name:
                    return value.strip().strip('"')
            return ""
        match = re.search(self.name, body)
        if not re.compile(self.name).groups:
            return CANARY if match else STABLE
        return (match.group(1) or "") if match else ""

    def role(self, version: str, rollout: Rollout | None = None) -> str:
        """Return `stable`, `canary`, or an empty string when the version is neither."""
        if self.value:
            return CANARY if version == self.value else STABLE if version else ""
        if version == CANARY or (rollout and version == rollout.canary_service):
            return CANARY
        if version == STABLE or (rollout and version == rollout.stable_service):
            return STABLE
        return ""


class Sample(NamedTuple):
    """What a number of requests got: answers by version, and failures by what went wrong."""

    versions: tuple[tuple[str, int], ...]
    failures: tuple[tuple[str, int], ...] = ()
    seconds: float = 0
    failed_versions: tuple[tuple[str, int], ...] = ()
    """Of the failures, those whose answer names a version."""

    @property
    def answered(self) -> int:
        """How many requests were answered with a status below 400."""
        return sum(count for _, count in self.versions)

    @property
    def failed(self) -> int:
        """How many were not."""
        return sum(count for _, count in self.failures)

    def __str__(self) -> str:
        answers = ", ".join(
            f"{count} from {version or 'an unnamed version'}" for version, count in self.versions
        )
        text = f"{self.answered} requests answered: {answers or 'none'}"
        return f"{text}; {self.failed_text}" if self.failed else text

    @property
    def failed_text(self) -> str:
        """What went wrong, and how often."""
        return f"{self.failed} failed: {', '.join(f'{count} {reason}' for reason, count in self.failures)}"


def check_sample(url: str, requests: int, rate: float) -> None:
    """Raise InvalidInputError unless requests of that count and rate (per second) can be sent to the URL."""
    if not url.startswith(("http://", "https://")):
        raise InvalidInputError(f"{url!r} is no http or https URL")
    check_count(requests)
    if not 0 <= rate < math.inf:
        raise InvalidInputError(
            f"{rate} requests per second: give a positive number, or 0 for as many as can be"
        )


def check_count(requests: int) -> None:
    """Raise InvalidInputError unless that many requests make a sample."""
    if not 1 <= requests <= MOST_REQUESTS:
        raise InvalidInputError(f"{requests} requests: a sample has 1 to {MOST_REQUESTS}")


def measure(
    url: str,
    identity: Identity,
    *,
    requests: int = REQUESTS,
    rate: float = RATE,
    headers: Mapping[str, str] | None = None,
    connections: int = CONNECTIONS,
    deadline_s: float = 0,
) -> Sample:
    """Send GET requests and count the versions that answer.

    Redirects are not followed, nothing is tried twice, and certificates are checked. `rate` is in requests per second
    (0: as fast as the connections go); `deadline_s` ends the sample early (0: never), and a request that was not sent
    is not counted.

    Raises:
        InvalidInputError: see `check_sample`.
    """
    import urllib3  # noqa: PLC0415 - 30 ms that only a measurement costs

    check_sample(url, requests, rate)
    numbers, taken = iter(range(requests)), threading.Lock()
    versions: collections.Counter[str] = collections.Counter()
    failures: collections.Counter[str] = collections.Counter()
    failed_versions: collections.Counter[str] = collections.Counter()
    begin = time.monotonic()
    with urllib3.PoolManager(
        maxsize=connections,
        retries=False,
        timeout=urllib3.Timeout(connect=TIMEOUT_S, read=TIMEOUT_S),
        headers={"User-Agent": "rollway-verify", **(headers or {})},
    ) as pool:

        def send() -> None:
            while True:
                with taken:
                    number = next(numbers, None)
                if number is None or (deadline_s and time.monotonic() - begin > deadline_s):
                    return
                if rate:
                    time.sleep(max(0.0, begin + number / rate - time.monotonic()))
                version, failure = _ask(pool, url, identity)
                with taken:
                    if failure:
                        failures[failure] += 1
                        failed_versions[version] += bool(version)
                    else:
                        versions[version] += 1

        with ThreadPoolExecutor(connections) as workers:
            for done in [workers.submit(send) for _ in range(connections)]:
                done.result()
    return Sample(
        tuple(sorted(versions.items())),
        tuple(sorted(failures.items())),
        time.monotonic() - begin,
        tuple(sorted((version, count) for version, count in failed_versions.items() if count)),
    )


def _ask(pool: urllib3.PoolManager, url: str, identity: Identity) -> tuple[str, str]:
    """Send one request; returns the version that the answer names and what went wrong, each empty where there is none."""
    import urllib3  # noqa: PLC0415

    try:
        answer = pool.request("GET", url, redirect=False, preload_content=False)
        try:
            content = answer.read(BODY)
            # A connection with something left in it cannot be used again, and the rest is not worth reading.
            whole = not answer.read(1)
        except BaseException:
            answer.close()
            raise
        if whole:
            answer.release_conn()
        else:
            answer.close()
    except urllib3.exceptions.TimeoutError:
        return "", f"not answered in {TIMEOUT_S:g} s"
    except (urllib3.exceptions.HTTPError, OSError) as error:
        return "", type(error).__name__
    failure = f"HTTP {answer.status}" if answer.status >= 400 else ""
    if failure and identity.source == "body":
        return "", failure  # an error page is nobody's body
    text = content.decode(errors="replace") if identity.source == "body" else ""
    return identity.version(answer.headers, answer.headers.getlist("Set-Cookie"), text), failure


def within(canary: int, answered: int, split: Split) -> bool:
    """Return whether a count is what chance allows for a split: at most four standard deviations of a binomial off.

    A split of 0 or of everything allows no exception.
    """
    off = canary * split.total - answered * split.canary
    return off * off <= DEVIATIONS**2 * answered * split.canary * (split.total - split.canary)


def interval(canary: int, answered: int) -> tuple[float, float]:
    """Return the shares, in percent, that four standard deviations allow for a count (Wilson's score interval)."""
    squared = DEVIATIONS**2
    share, scale = canary / answered, 1 + squared / answered
    centre = (share + squared / (2 * answered)) / scale
    half = DEVIATIONS * math.sqrt(share * (1 - share) / answered + squared / (4 * answered**2)) / scale
    return max(0.0, 100 * (centre - half)), min(100.0, 100 * (centre + half))


def judge(sample: Sample, identity: Identity, split: Split, rollout: Rollout | None = None) -> Verdict:
    """Compare a sample with the split that was asked for.

    UNKNOWN when nothing was answered or an answer does not name its version; DIFFERS when the count is further off
    than chance allows, or when anything failed: a request without an answer was not served by the split. With a failure
    the verdict is final, because a later sample without one does not undo it.
    """
    roles = _by_role(sample.versions, identity, rollout)
    failed = _by_role(sample.failed_versions, identity, rollout)
    known = failed[STABLE] + failed[CANARY]
    counted = RequestSample(
        roles[STABLE], roles[CANARY], roles[""], failed[STABLE], failed[CANARY], sample.failed - known
    )
    verdict = _judge(sample, roles, identity, split, rollout)
    return verdict._replace(samples=(counted,), final=sample.failed > 0)


def _by_role(
    versions: Iterable[tuple[str, int]], identity: Identity, rollout: Rollout | None
) -> collections.Counter[str]:
    roles: collections.Counter[str] = collections.Counter()
    for version, count in versions:
        roles[identity.role(version, rollout)] += count
    return roles


def _judge(
    sample: Sample,
    roles: collections.Counter[str],
    identity: Identity,
    split: Split,
    rollout: Rollout | None,
) -> Verdict:
    if not sample.answered:
        reason = str(sample) if sample.failed else "no request was sent"
        return Verdict(Outcome.UNKNOWN, Evidence.UNKNOWN, reason=reason)
    if roles[""]:
        strange = ", ".join(repr(name) for name, _ in sample.versions if not identity.role(name, rollout))
        reason = f"{roles['']} of {sample.answered} answers name neither version ({strange})"
        return Verdict(Outcome.UNKNOWN, Evidence.UNKNOWN, reason=reason)
    verdict = compare(roles[CANARY], sample.answered, split)
    if sample.failed:
        reason = f"{verdict.reason}; {sample.failed_text}"
        return verdict._replace(outcome=Outcome.DIFFERS, reason=reason)
    return verdict


def compare(canary: int, answered: int, split: Split) -> Verdict:
    """Compare how many of the requests were the canary's with the split; at least one was answered."""
    low, high = interval(canary, answered)
    reason = f"canary got {canary} of {answered} requests, {100 * canary / answered:.2f} % (between {low:.2f} and {high:.2f})"
    outcome = Outcome.MATCHES if within(canary, answered, split) else Outcome.DIFFERS
    return Verdict(outcome, Evidence.MEASURED, reason=reason)


@dataclass(frozen=True)
class RequestsProbe:
    """Send requests to a URL that the user gave; see `measure`."""

    url: str
    identity: Identity
    requests: int = REQUESTS
    rate: float = RATE
    headers: tuple[tuple[str, str], ...] = ()
    evidence: Evidence = Evidence.MEASURED
    backends: frozenset[str] = frozenset()

    def judge(self, context: Context) -> Verdict:
        """Measure once, and compare the share with the split that is wanted."""
        sample = measure(
            self.url, self.identity, requests=self.requests, rate=self.rate, headers=dict(self.headers)
        )
        return judge(sample, self.identity, context.want.split, context.rollout)
