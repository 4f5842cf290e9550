"""Regular expressions of a route, for data planes whose only comparison is a pattern.

A route's own regex is RE2; what is written here means the same to RE2, PCRE and Envoy.
"""

from __future__ import annotations

import re
import warnings

_SPECIAL = r"[\\^$.\[\](){}*+?|]"
_OTHER_GROUP = r"(?<!\\)\(\?(?![ims]*[:)])"
_FLAGS = r"((?:\(\?[ims]+\))?)(.*)"
_WHOLE = r"\^\(\?:(.*)\)\$"
_POSIX_CLASS = r"\[:\^?[a-z]+:\]"
QUOTED = r"(?:[^\\^$.\[\](){}*+?|]|\\[^a-zA-Z0-9])*"
"""A pattern of what `quoted` returns."""


def quoted(text: str) -> str:
    """Return the pattern that matches a text and nothing else."""
    return re.sub(_SPECIAL, r"\\\g<0>", text)


def unquoted(pattern: str) -> str:
    """Return the text of a quoted pattern: the inverse of `quoted`."""
    return re.sub(r"\\(.)", r"\1", pattern)


def whole(regex: str) -> str:
    """Return the pattern that matches where a regex matches the whole value; flags (`(?i)`) stay at the start."""
    flags, body = split_flags(regex)
    return f"{flags}^(?:{body})$"


def regex_of(pattern: str) -> str | None:
    """Return the regex of a pattern for whole values: the inverse of `whole`; None for another pattern."""
    flags, body = split_flags(pattern)
    found = re.fullmatch(_WHOLE, body)
    return flags + found[1] if found else None


def split_flags(regex: str) -> tuple[str, str]:
    """Part the flags at the start of a regex from the rest."""
    parts = re.fullmatch(_FLAGS, regex)
    return (parts[1], parts[2]) if parts else ("", regex)


def regex_fault(regex: str) -> str:
    """Return why another engine could not read a regex, or not as it is meant (RE2); an empty string when it can."""
    if re.search(_OTHER_GROUP, regex):
        return "a group begins with `(?`, and is neither `(?:` nor one of the flags i, m and s"
    try:
        compiled(regex)
    except re.error as error:
        return str(error)
    return ""


def compiled(regex: str) -> re.Pattern[str]:
    """Return a regex as Python reads it, with `a` in place of a class of characters like `[:digit:]`.

    Raises:
        re.error: it is no regex.
    """
    with warnings.catch_warnings():
        # Python announces set operations for `[[`, which the other engines do not have.
        warnings.simplefilter("ignore", FutureWarning)
        return re.compile(re.sub(_POSIX_CLASS, "a", regex))
