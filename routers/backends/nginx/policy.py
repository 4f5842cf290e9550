"""What the annotations of a canary Ingress mean: which requests the ingress-nginx controller sends to the canary.

Follows `internal/ingress/annotations/canary`, `internal/ingress/annotations/parser` and the function
`route_to_alternative_balancer` of `rootfs/etc/nginx/lua/balancer.lua` in kubernetes/ingress-nginx v1.15.1, in our own
words. Cookies of session affinity come before all of this; see `controller.Upstream.affinity`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER, HEADER_VALUE, HEADER_PATTERN = (
    "canary-by-header",
    "canary-by-header-value",
    "canary-by-header-pattern",
)
TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
# Spaces are taken out before the controller looks (validators.go, ValidateRegex), except in a pattern.
_HEADER_SYNTAX = re.compile(r"[-._~a-zA-Z0-9/: ]*")
_PATTERN_SYNTAX = re.compile(r"[-._~a-zA-Z0-9/:^$\[\](){}*+?\\|&=]*")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
HEADER_NAME = re.compile(r"[-a-zA-Z0-9]+")
"""The names of headers that nginx keeps, unless it is told otherwise (ignore_invalid_headers, underscores_in_headers)."""
_WORDS = {"always": True, "never": False}


class Policy(NamedTuple):
    """How a canary takes its share: weight out of total, header and cookie."""

    weight: int = 0
    total: int = 100
    header: str = ""
    header_value: str = ""
    header_pattern: str = ""
    cookie: str = ""

    @property
    def choices(self) -> str:
        """Name the requests that do not go by the weight, for people; an empty string where all do."""
        header = f"header {self.header}: {self.header_value or 'always or never'}"
        if self.header_pattern and not self.header_value:
            header = f"header {self.header} matching {self.header_pattern}"
        cookie = f"cookie {self.cookie}=always or never"
        return " or ".join([*([header] if self.header else []), *([cookie] if self.cookie else [])])

    def decision(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> bool | None:
        """Return whether a request goes to the canary by its header, else by its cookie; None where the weight decides.

        The header goes before the cookie, and both before the weight. With a value or a pattern the words `always` and
        `never` mean nothing in the header; without, nothing else does.
        """
        by_header = self._by_header(headers)
        return by_header if by_header is not None else _WORDS.get(cookies.get(self.cookie, ""))

    def _by_header(self, headers: Mapping[str, str]) -> bool | None:
        # balancer.lua asks nginx for the variable of the header, whose name has `_` for `-`.
        wanted = self.header.lower().replace("_", "-")
        if not HEADER_NAME.fullmatch(wanted):
            return None
        value = {name.lower(): value for name, value in headers.items()}.get(wanted)
        if value is None:
            return None
        if self.header_value:
            return True if value == self.header_value else None
        if self.header_pattern:
            try:
                return True if re.search(self.header_pattern, value) else None
            except re.error:
                return False  # nginx logs it and leaves the request to the primary
        return _WORDS.get(value)


def read_canary(annotations: Mapping[str, str], prefix: str) -> tuple[bool, Policy, tuple[str, ...]]:
    """Return (enabled, policy, problems) as the annotation parser does: an invalid value falls back to its default."""
    problems: list[str] = []

    def text(name: str, syntax: re.Pattern[str] = _HEADER_SYNTAX) -> str:
        value = annotations.get(f"{prefix}/{name}", "")
        if syntax.fullmatch(value):
            return value.strip()
        problems.append(f"{name} {value!r} is not valid, so the controller drops it")
        return ""

    def number(name: str, default: int) -> int:
        value = annotations.get(f"{prefix}/{name}")
        if value is None or _INTEGER.fullmatch(value):
            return default if value is None else int(value)
        problems.append(f"{name} {value!r} is no whole number, so the controller reads {default}")
        return default

    flag = annotations.get(f"{prefix}/canary")
    enabled = flag in TRUE
    if flag is not None and not enabled and flag not in _FALSE:
        problems.append(f"canary {flag!r} is neither true nor false, so the controller reads false")
    policy = Policy(
        number("canary-weight", 0),
        number("canary-weight-total", 100),
        text(HEADER),
        text(HEADER_VALUE),
        text(HEADER_PATTERN, _PATTERN_SYNTAX),
        text("canary-by-cookie"),
    )
    return enabled, policy, tuple(problems)
