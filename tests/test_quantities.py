"""Quantities are read and written as Kubernetes does, rule by rule."""

from __future__ import annotations

import pytest

from rollway.controller.quantities import parse


@pytest.mark.parametrize(
    "text",
    ["0", "1", "1500m", "1.500", "+1", "1e3", "100Mi", "1Gi", "-5m", "12E6", "1500", "7Ki"],
)
def test_what_looks_canonical_keeps_its_text(text: str) -> None:
    """Kubernetes keeps the text of a short quantity whose form it likes, even where another form is canonical."""
    assert parse(text).text == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", "500m"),
        (".5", "500m"),
        ("1.5", "1500m"),
        ("1000m", "1"),
        ("1000k", "1M"),
        ("1000", "1k"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1.5Ki", "1536"),
        ("8Ki", "8Ki"),
        ("0.0001Ki", "102400u"),
        ("00", "0"),
        ("-0.0", "0"),
        ("-0.5", "-500m"),
        ("1e4", "10e3"),
        ("10e-4", "1e-3"),
        ("0.1n", "1n"),
        ("1e-999999999", "1e-9"),
        ("1000E", "1"),
        ("m", "0"),
        ("12345678901234567890", "12345678901234567890"),
        ("123456789012345678000", "123456789012345678k"),
        ("9.5Ei", "9223372036854775807"),
        ("1000.5Ki", "1024512"),
        ("1.0005Ki", "1024512m"),
        ("0.9765625Ki", "1k"),
    ],
)
def test_other_texts_are_written_anew(text: str, expected: str) -> None:
    """The suffix becomes as large as no fraction allows, small amounts are rounded up, large binary ones are capped."""
    assert parse(text).text == expected


@pytest.mark.parametrize(("left", "right"), [("1", "1000m"), ("1Ki", "1024"), ("0", "0.0Ki"), ("1e3", "1k")])
def test_equal_amounts_are_equal_however_they_are_written(left: str, right: str) -> None:
    """What is compared is the amount."""
    assert parse(left).amount == parse(right).amount
    assert parse(left).amount != parse("-7").amount


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1x",
        "x",
        "1mi",
        "1e",
        "1ee3",
        "1.2.3",
        "1m5",
        "1e99999999999",
        "1+5",
        "Ei",
        "-.Ei",
        "\u0661",
    ],
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """The error repeats the text."""
    with pytest.raises(ValueError, match="is not a quantity"):
        parse(text)
