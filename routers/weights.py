"""Weights and shares: exact integers out of a total. There are no floats."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rollway.routers.errors import UnsupportedError, WeightError

if TYPE_CHECKING:
    from fractions import Fraction


@dataclass(frozen=True)
class Split:
    """Weights of stable and canary, integers that sum exactly to `total`."""

    canary: int
    total: int = 100

    def __post_init__(self) -> None:
        for name, value in (("canary", self.canary), ("total", self.total)):
            if type(value) is not int:
                raise WeightError(f"{name} weight {value!r} is not an integer")
        if self.total < 1:
            raise WeightError(f"total {self.total} is not a positive number")
        if not 0 <= self.canary <= self.total:
            raise WeightError(f"weight {self.canary} is outside 0..{self.total}")

    @property
    def stable(self) -> int:
        """What the canary leaves of the total."""
        return self.total - self.canary

    def __str__(self) -> str:
        return f"{self.canary} of {self.total}, {percent(self.canary, self.total)}"


def percent(part: int, whole: int) -> str:
    """Write a share as a percentage: exact up to four places (`0.5 %`), else rounded and marked (`~33.3333 %`)."""
    nearest, rest = divmod(part * 1_000_000, whole)
    # A half goes to the even neighbour, as with Python's own `round`.
    nearest += 2 * rest + nearest % 2 > whole
    text = f"{nearest // 10_000}.{nearest % 10_000:04d}".rstrip("0").rstrip(".")
    return f"~{text} %" if rest else f"{text} %"


def parse_weight(text: int | str, total: int) -> int:
    """Read `20` (of the total), `0.5%` or `5/1000` as an integer weight out of `total`.

    Raises:
        WeightError: the text is no weight, negative, or more than the total.
        UnsupportedError: the share is no whole number of the total (0.5 % of 100).
    """
    if type(text) is int and 0 <= text <= total:
        return text
    readable = "give a whole number of the total (20), a percentage (0.5%) or a fraction (5/1000)"
    word = str(text).strip()
    number, percent_sign, rest = word.partition("%")
    numerator, slash, denominator = word.partition("/")
    if percent_sign:
        pieces, valid = number.strip().split("."), not rest
    elif slash:
        pieces, valid = [numerator, denominator], True
    else:
        pieces, valid = [word], not isinstance(text, bool)
    sign = pieces[0][:1] == "-"
    digits = [pieces[0].removeprefix("-"), *pieces[1:]]
    if (
        not valid
        or len(digits) > 2
        or not all(piece.isascii() and piece.isdigit() and len(piece) < 20 for piece in digits)
    ):
        raise WeightError(f"weight {word[:60]!r} cannot be read", hint=readable)
    if slash and int(denominator) == 0:
        raise WeightError(f"weight {word!r} divides by zero", hint=readable)
    count = int("".join(digits) if percent_sign else digits[0])
    whole = 100 * 10 ** len("".join(digits[1:])) if percent_sign else int(denominator) if slash else total
    if sign or count > whole:
        raise WeightError(f"weight {word} is outside 0..{total}", hint=readable)
    weight, remainder = divmod(count * total, whole)
    if remainder:
        raise UnsupportedError(
            f"weight {word} is {percent(count, whole)}, which is no whole number out of total {total}",
            hint=f"set spec.strategy.canary.trafficRouting.maxTrafficWeight to a multiple of {whole // math.gcd(count, whole)}",
        )
    return weight


def divide(split: Split, budget: int) -> tuple[int, int]:
    """Share `budget` between stable and canary as `split` does, to the largest remainder: (stable, canary).

    A tie goes to stable. The two integers always sum to `budget`.
    """
    canary, remainder = divmod(split.canary * budget, split.total)
    if 2 * remainder > split.total:
        canary += 1
    return budget - canary, canary


def nearest_split(stable: Fraction | int, canary: Fraction | int, total: int) -> tuple[Split, bool] | None:
    """Read live weights of the pair as a Split of `total`, and whether it is exact; None when both are zero.

    Inverts `divide` for every budget that is not smaller than the total.
    """
    # Whole numbers in the same proportion: arithmetic on fractions would take ten times as long.
    shares = stable.numerator * canary.denominator, canary.numerator * stable.denominator
    budget = sum(shares)
    if budget <= 0:
        return None
    weight, rest = divmod(shares[1] * total, budget)
    split = Split(weight + (2 * rest >= budget), total)
    return split, not rest or ((stable, canary) == shares and divide(split, budget) == shares)
