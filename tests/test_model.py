"""Weights, splits and shares are exact."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollway.routers.backends.smi.stanza import SmiTrafficRouting
from rollway.routers.errors import UnsupportedError, WeightError
from rollway.routers.findings import Finding, Severity
from rollway.routers.model import Rollout, Strategy
from rollway.routers.objects import Access, Live, LiveObject, Need, ObjectRef, dig
from rollway.routers.traffic import Capabilities, HeaderRoute, RequestMatch, StringMatch, Traffic
from rollway.routers.weights import Split, divide, nearest_split, parse_weight, percent

REF = ObjectRef("apps", "Deployment", "prod", "shop")


@pytest.mark.parametrize(
    ("text", "total", "weight"),
    [
        ("20", 100, 20),
        (20, 100, 20),
        ("0", 100, 0),
        ("100", 100, 100),
        (" 7 ", 100, 7),
        ("0.5%", 1000, 5),
        ("12.50%", 1000, 125),
        ("100%", 7, 7),
        ("5/1000", 1000, 5),
        ("1/4", 100, 25),
        ("1/3", 300, 100),
    ],
)
def test_weights_are_read_exactly(text: str | int, total: int, weight: int) -> None:
    """A weight is a number of the total, a percentage or a fraction."""
    assert parse_weight(text, total) == weight


@pytest.mark.parametrize(
    "text",
    [
        "-1",
        "101",
        "20.5.1",
        "NaN",
        "",
        "%",
        "1.%",
        ".5%",
        "1e3",
        "²",
        "5/-2",
        "1/0",
        "-1/2",
        "2/1",
        "-0.5%",
        "101%",
        "20%%",
        "1/2/3",
        "1.5",
        "0x10",
        "9" * 40,
        True,
        "1_0",
        "٣",
    ],
)
def test_nonsense_is_no_weight(text: str | int) -> None:
    """Anything that is no weight, or is out of range, is an error that shows it."""
    with pytest.raises(WeightError):
        parse_weight(text, 100)


def test_inexpressible_share_names_the_field() -> None:
    """A share that the total cannot hold is refused with the field that helps."""
    with pytest.raises(UnsupportedError, match=r"maxTrafficWeight to a multiple of 200"):
        parse_weight("0.5%", 100)


@given(st.integers(1, 10**6), st.data())
def test_every_weight_is_read_back(total: int, data: st.DataObject) -> None:
    """Any weight written as a fraction of any total is read as itself."""
    weight = data.draw(st.integers(0, total))
    assert parse_weight(f"{weight}/{total}", total) == parse_weight(weight, total) == weight


@given(st.integers(1, 2000), st.integers(0, 5000), st.data())
def test_division_is_exact_and_fair(total: int, budget: int, data: st.DataObject) -> None:
    """The two parts sum to the budget and are off by at most half a unit."""
    split = Split(data.draw(st.integers(0, total)), total)
    stable, canary = divide(split, budget)
    assert stable + canary == budget
    assert abs(Fraction(canary) - Fraction(split.canary * budget, total)) <= Fraction(1, 2)


@given(st.integers(1, 2000), st.integers(0, 3000), st.data())
def test_division_can_be_read_back(total: int, more: int, data: st.DataObject) -> None:
    """With a budget of at least the total, the split is found again from the parts."""
    split = Split(data.draw(st.integers(0, total)), total)
    stable, canary = divide(split, total + more)
    assert nearest_split(Fraction(stable), Fraction(canary), total) == (split, True)


@pytest.mark.parametrize(
    ("split", "budget", "parts"),
    [
        ((1, 3), 2, (1, 1)),
        ((1, 2), 1, (1, 0)),
        ((2, 3), 1, (0, 1)),
        ((20, 100), 67, (54, 13)),
        ((50, 100), 3, (2, 1)),
    ],
)
def test_the_largest_remainder_decides(split: tuple[int, int], budget: int, parts: tuple[int, int]) -> None:
    """The larger remainder gets the unit; a tie goes to stable."""
    assert divide(Split(*split), budget) == parts


def test_nearest_split_tells_what_is_not_exact() -> None:
    """A share between two weights is read as the nearest one and marked; no weight at all is nothing."""
    assert nearest_split(Fraction(2), Fraction(1), 100) == (Split(33), True)
    assert nearest_split(Fraction(5, 2), Fraction(1, 2), 100) == (Split(17), False)
    assert nearest_split(Fraction(0), Fraction(0), 100) is None


@pytest.mark.parametrize(
    ("share", "text"), [((1, 200), "0.5 %"), ((1, 3), "~33.3333 %"), ((0, 1), "0 %"), ((1, 1), "100 %")]
)
def test_percentages_say_when_they_are_rounded(share: tuple[int, int], text: str) -> None:
    """A percentage is exact, or marked as rounded."""
    assert percent(*share) == text


@pytest.mark.parametrize(
    ("canary", "total"), [(-1, 100), (101, 100), (0, 0), (1.0, 100), (True, 100), (1, 100.0)]
)
def test_a_split_cannot_be_wrong(canary: int, total: int) -> None:
    """A Split outside 0..total, or not of integers, cannot be made."""
    with pytest.raises(WeightError):
        Split(canary, total)


def test_a_split_tells_all_readings() -> None:
    """A Split is written as weight, total and percentage."""
    assert str(Split(5, 1000)) == "5 of 1000, 0.5 %"
    assert Split(20).stable == 80


def test_a_route_cannot_be_wrong() -> None:
    """A Rollout needs two different Services and a backend."""
    with pytest.raises(WeightError, match="both stable and canary"):
        Rollout("shop", "default", "a", "a", stanzas={"smi": SmiTrafficRouting("a", "shop")})
    with pytest.raises(WeightError, match="no backend"):
        Rollout("shop", "default", "a", "b")


def test_blue_green_takes_all_or_nothing() -> None:
    """A blue-green route refuses what is neither 0 nor total."""
    rollout = Rollout(
        "shop", "default", "a", "b", Strategy.BLUE_GREEN, stanzas={"smi": SmiTrafficRouting("a", "shop")}
    )
    assert rollout.split(0) == Split(0)
    assert rollout.split("100%") == Split(100)
    with pytest.raises(WeightError, match="only 0 and 100"):
        rollout.split(1)
    assert rollout.ref == ObjectRef("argoproj.io", "Rollout", "default", "shop")


def test_dig_finds_nothing_where_nothing_is() -> None:
    """A path into a manifest gives the value or None, whatever stands in the way."""
    manifest = {"spec": {"rules": [{"host": "a"}], "text": "x"}}
    assert dig(manifest, "spec", "rules", 0, "host") == "a"
    assert dig(manifest, "spec", "rules", 1, "host") is None
    assert dig(manifest, "spec", "rules", "0") is None
    assert dig(manifest, "spec", "text", "length") is None


def test_live_finds_objects_by_name_and_by_kind() -> None:
    """Live objects are a mapping by reference, and can be listed by kind."""
    found = LiveObject(REF, {"kind": "Deployment"}, "1")
    live = Live([found], {"apps": ["v1"]})
    assert live[REF] is found
    assert list(live) == [REF]
    assert len(live) == 1
    assert live.manifest(REF) == {"kind": "Deployment"}
    assert live.manifest(ObjectRef("", "Pod", "prod", "x")) is None
    assert list(live.of("apps", "Deployment")) == [found]
    assert list(live.of("apps", "DaemonSet")) == []
    assert found.locate(("spec",)) == ""


def test_needs_match_by_what_they_name() -> None:
    """An empty name or namespace means any; group and kind always count."""
    assert Need("apps", "Deployment").matches(REF)
    assert Need("apps", "Deployment", "shop", "prod").matches(REF)
    assert not Need("apps", "Deployment", "shop", "test").matches(REF)
    assert not Need("", "Deployment").matches(REF)
    assert not Need("apps", "Pod").matches(REF)
    assert Need("apps", "Deployment", "shop", "prod").ref == REF


def test_capabilities_name_what_is_missing() -> None:
    """The first feature of a wish that a backend lacks is named."""
    able = Capabilities("Thing", ("v1",), Access.MANAGED, smallest_total=100)
    assert able.missing(Traffic(Split(1, 50))) == "a total below 100"
    assert (
        able.missing(
            Traffic(Split(1), (HeaderRoute("beta", (RequestMatch((("x", StringMatch("exact", "1")),)),)),))
        )
        == "header routes"
    )
    assert able.missing(Traffic(Split(1))) == ""


def test_findings_are_sentences() -> None:
    """A finding names its object, what is wrong, what to do, and its code."""
    assert (
        str(Finding("files-only", Severity.NOTE, REF, "is odd", "mend it"))
        == "Deployment prod/shop: is odd; mend it [files-only]"
    )
    assert str(Finding("files-only", Severity.NOTE, None, "is odd")) == "is odd [files-only]"
