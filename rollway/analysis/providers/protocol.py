"""What a provider of metrics is: pure in what it sends, and in how it reads the answer. Requests are values."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from rollway.routers.errors import RollwayError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from rollway.routers.objects import Pointer

NOTHING: Mapping[str, str] = MappingProxyType({})


class ProviderError(RollwayError):
    """A measurement that failed: no answer, or one that shows no value."""


class OAuth2(NamedTuple):
    """Client credentials (RFC 6749, section 4.4), for which a server gives a token."""

    token_url: str
    client_id: str
    client_secret: str
    scopes: tuple[str, ...] = ()


class Request(NamedTuple):
    """One HTTP request. It must be answered whole after `timeout` seconds.

    With `insecure` the certificate is not checked. `otherwise` is sent where the server does not know the method.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    timeout: float = 30
    insecure: bool = False
    oauth2: OAuth2 | None = None
    otherwise: Request | None = None


class Response(NamedTuple):
    """The answer to a request."""

    status: int
    body: bytes


class Inputs(NamedTuple):
    """What a request may depend on beside the settings: the time, and the environment of the process."""

    now: datetime
    environment: Mapping[str, str] = NOTHING


class Reading(NamedTuple):
    """What an answer shows: the result for conditions, the same as a text, and what else the measurement keeps."""

    result: Any
    value: str
    metadata: Mapping[str, str] = NOTHING


class Provider(Protocol):
    """One provider of metrics. `settings` are its stanza in a metric, in which every argument has its value."""

    name: ClassVar[str]

    def faults(self, settings: Mapping[str, Any]) -> Iterable[tuple[Pointer, str]]:
        """Yield every fault of the settings, with the way to it."""
        ...

    def metadata(self, settings: Mapping[str, Any]) -> Mapping[str, str]:
        """Return what the result of the metric keeps of its settings, like the query."""
        ...

    def request(self, settings: Mapping[str, Any], inputs: Inputs) -> Request:
        """Return the request of one measurement.

        Raises:
            RollwayError: the settings and inputs lead to none.
        """
        ...

    def read(self, settings: Mapping[str, Any], response: Response) -> Reading:
        """Return what an answer shows.

        Raises:
            ProviderError: it shows no value.
        """
        ...
