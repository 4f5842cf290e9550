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


class Credentials(NamedTuple):
    """Where a provider's address and keys are: in a Secret of the controller's namespace.

    The settings may name another Secret at `setting`, and at `own_namespace` whether it is in the namespace of the
    analysis. Where `prefix` is given, the environment may have the `required` keys as well: `api-key` as `DD_API_KEY`.
    """

    secret: str
    setting: Pointer
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    own_namespace: Pointer = ()
    prefix: str = ""


class Inputs(NamedTuple):
    """What a request may depend on beside the settings: the time, the environment of the process, and credentials."""

    now: datetime
    environment: Mapping[str, str] = NOTHING
    credentials: Mapping[str, str] = NOTHING


class Reading(NamedTuple):
    """What an answer shows: the result for conditions, the same as a text, and what else the measurement keeps."""

    result: Any
    value: str
    metadata: Mapping[str, str] = NOTHING


class Provider(Protocol):
    """One provider of metrics. `settings` are its stanza in a metric, in which every argument has its value."""

    name: ClassVar[str]
    credentials: ClassVar[Credentials | None]

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
