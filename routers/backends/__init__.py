"""The backends: pure functions between Traffic and one kind of routing object, and the table of those built in.

A backend holds no state, does no I/O and never sees a store. To add one, write its module, add it to `BUILTIN`, and
give it a fixture class for the contract suite in `rollway.routers.testing`.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.model import Capabilities, Finding, Live, Manifest, Need, Reading, Rollout, Traffic

BUILTIN = {
    "nginx": "rollway.routers.backends.nginx.backend:NginxBackend",
    "istio": "rollway.routers.backends.istio.backend:IstioBackend",
    "smi": "rollway.routers.backends.smi.backend:SmiBackend",
}
"""Where each backend lives, by the name of its stanza in `trafficRouting`. Imported when it is first used."""


class Backend(Protocol):
    """Translate between Traffic and one kind of routing object."""

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    def needs(self, rollout: Rollout) -> Sequence[Need]:
        """Name the objects that `render`, `observe` and `check` look at, and what may be done to each."""
        ...

    def render(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Manifest]:
        """Return the objects that carry the wish: MANAGED ones whole, SHARED ones as a changed copy of the live one.

        Raises:
            NotFoundError: an object or route that must be there is not.
            AmbiguousError: more than one route could be meant.
            ManifestError: a live object is malformed where the backend has to read it.
        """
        ...

    def observe(self, rollout: Rollout, live: Live) -> Sequence[Reading]:
        """Read what the live objects say: the inverse of `render`, one Reading for each object or route.

        Raises what `render` raises.
        """
        ...

    def check(self, rollout: Rollout, want: Traffic, live: Live) -> Sequence[Finding]:
        """Tell what the data plane would ignore, reject or break if `live` were as given.

        `live` already holds the wanted objects in place of the present ones.
        """
        ...


@functools.cache
def backend(name: str) -> Backend:
    """Return the built-in backend of that name."""
    module, _, attribute = BUILTIN[name].partition(":")
    return cast("Backend", getattr(import_module(module), attribute)())


def backends_of(rollout: Rollout) -> tuple[Backend, ...]:
    """Return the backends that the route uses, in the order in which they are applied."""
    return tuple(backend(name) for name in rollout.backends)
