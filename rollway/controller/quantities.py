"""Quantities (`500m`, `1.5Gi`, `1e3`) as Kubernetes reads and writes them. Pure.

Source: `pkg/api/resource` of k8s.io/apimachinery. It keeps the text of a quantity that looks canonical, and writes any other
anew, so equal amounts may have several texts, and only these go into a hash.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_FORM = re.compile(r"([+-]?)0*([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[+-]?[0-9]*)", re.ASCII)
_HAS_DIGITS = re.compile(r"[+-]?\.?[0-9]", re.ASCII)
_DECIMAL = {
    "n": -9,
    "u": -6,
    "m": -3,
    "": 0,
    "k": 3,
    "M": 6,
    "G": 9,
    "T": 12,
    "P": 15,
    "E": 18,
}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)", re.ASCII)
_SUFFIXES = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIXES = {exponent: suffix for suffix, exponent in _BINARY.items()}
_PLACES = 9
"""How many decimal places an amount has at most: more are rounded up."""
_LARGEST = (1 << 63) - 1
"""The cap of amounts with a binary suffix."""
_LONGEST_EXPONENT = 9
"""Exponents with more digits do not fit into the 32 bits that Kubernetes has for them."""


class Quantity(NamedTuple):
    """An amount, `digits` times ten to the power of `exponent` without trailing zeros, and how Kubernetes writes it."""

    text: str
    digits: int
    exponent: int

    @property
    def amount(self) -> tuple[int, int]:
        """What equal quantities share, however they are written."""
        return self.digits, self.exponent


class _Number(NamedTuple):
    """The parts of a quantity: its digits without the point, how many stand behind it, and what its suffix says."""

    negative: bool
    digits: str
    places: int
    base: int
    exponent: int
    style: str


def parse(text: str) -> Quantity:
    """Read a quantity.

    Raises:
        ValueError: the text is no quantity.
    """
    number = _split(text)
    digits, exponent = int(number.digits), number.exponent - number.places
    looks_canonical = False
    if number.base == 2:
        digits, exponent = digits << number.exponent, -number.places
    if _is_short(number):
        looks_canonical = _looks_canonical(number)
    elif not _HAS_DIGITS.match(text):
        raise ValueError(f"{text!r} is not a quantity: it has no digits")
    elif digits:
        digits, exponent = _rounded_up(digits, exponent)
        if number.base == 2 and digits > _LARGEST * 10**-exponent:
            digits, exponent = _LARGEST, 0
    written = text if looks_canonical else _written(digits, exponent, number.style, negative=number.negative)
    while digits and digits % 10 == 0:
        digits, exponent = digits // 10, exponent + 1
    return Quantity(written, -digits if number.negative else digits, exponent if digits else 0)


def _split(text: str) -> _Number:
    match = _FORM.fullmatch(text) if text else None
    if not match:
        raise ValueError(f"{text!r} is not a quantity")
    sign, whole, places, suffix = match[1], match[2] or "0", match[3] or "", match[4]
    if suffix in _DECIMAL:
        base, exponent, style = 10, _DECIMAL[suffix], "decimal"
    elif suffix in _BINARY:
        base, exponent, style = 2, _BINARY[suffix], "binary"
    else:
        power = _EXPONENT.fullmatch(suffix)
        if not power or len(power[1].lstrip("+-0")) > _LONGEST_EXPONENT:
            raise ValueError(f"{text!r} is not a quantity: {suffix!r} is no suffix of one")
        base, exponent, style = 10, int(power[1]), "exponent"
    return _Number(sign == "-", whole + places, len(places), base, exponent, style)


def _is_short(number: _Number) -> bool:
    """Return whether Kubernetes reads it into 64 bits; only then it may keep the text, and else it rounds."""
    if number.base == 2:
        precision = 14 - len(number.digits) - number.exponent * 3 // 10
        return not number.places and precision >= 0
    return len(number.digits) <= 18 and number.exponent - number.places >= -_PLACES


def _looks_canonical(number: _Number) -> bool:
    if number.base == 2:
        return int(number.digits) % 8 != 0
    scale = number.exponent - number.places
    return scale % 3 == 0 and not number.digits.endswith("000") and number.digits[0] != "0"


def _rounded_up(digits: int, exponent: int) -> tuple[int, int]:
    surplus = -exponent - _PLACES
    if surplus <= 0:
        return digits, exponent
    # A power of ten that is longer than the digits would only cost memory.
    divisor = 10 ** min(surplus, len(str(digits)))
    return -(-digits // divisor), -_PLACES


def _written(digits: int, exponent: int, style: str, *, negative: bool) -> str:
    if not digits:
        return "0"
    sign = "-" if negative else ""
    if style == "binary":
        whole, rest = divmod(digits, 10**-exponent)
        if not rest and whole >= 1024:
            power = 0
            while whole % 1024 == 0:
                whole, power = whole // 1024, power + 10
            return f"{sign}{whole}{_BINARY_SUFFIXES.get(power, '')}"
    while digits % 10 == 0:
        digits, exponent = digits // 10, exponent + 1
    shift = exponent % 3
    digits, exponent = digits * 10**shift, exponent - shift
    if style == "exponent":
        return f"{sign}{digits}e{exponent}" if exponent else f"{sign}{digits}"
    # Kubernetes has no suffix for larger amounts, and then writes none.
    return f"{sign}{digits}{_SUFFIXES.get(exponent, '')}"
