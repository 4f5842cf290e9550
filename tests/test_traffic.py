"""Header and mirror routes as values: what they cannot be, and how people read them."""

from __future__ import annotations

import pytest

from rollway.routers.errors import InvalidInputError
from rollway.routers.traffic import HeaderRoute, MirrorRoute, RequestMatch, StringMatch, Traffic
from rollway.routers.weights import Split

ONE = StringMatch("exact", "1")
BETA = HeaderRoute("beta", (RequestMatch((("x-beta", ONE),)),))
COPY = MirrorRoute("copy", percentage=10)


@pytest.mark.parametrize(
    ("matches", "message"),
    [
        ((), "at least one match"),
        ((RequestMatch(),), "a match without a header"),
        ((RequestMatch(path=StringMatch("prefix", "/")),), "a match without a header"),
        ((RequestMatch((("X-Beta", ONE), ("x-beta", ONE))),), "header 'x-beta' has to stand once"),
        ((RequestMatch((("", ONE),)),), "header '' has to stand once"),
    ],
)
def test_a_header_route_cannot_be_wrong(matches: tuple[RequestMatch, ...], message: str) -> None:
    """Each match has headers with names, and no name twice, whatever its case."""
    with pytest.raises(InvalidInputError, match=message):
        HeaderRoute("beta", matches)


@pytest.mark.parametrize("percentage", [-1, 101, True, 1.5, "10"])
def test_a_percentage_cannot_be_wrong(percentage: int) -> None:
    """A mirror route copies a whole percentage from 0 to 100."""
    with pytest.raises(InvalidInputError, match="no whole percentage"):
        MirrorRoute("copy", percentage=percentage)
    assert [MirrorRoute("copy", percentage=limit).percentage for limit in (0, 100)] == [0, 100]


def test_every_route_has_a_name_of_its_own() -> None:
    """A header route and a mirror route of one name could not be told apart, and a route has a name."""
    with pytest.raises(InvalidInputError, match="2 routes named 'beta'"):
        Traffic(Split(0), (BETA,), (MirrorRoute("beta"),))
    with pytest.raises(InvalidInputError, match="needs a name"):
        MirrorRoute("")


def test_the_order_of_headers_has_no_meaning() -> None:
    """All headers of a match have to hold, so a route is the same in whichever order they are given."""
    some = HeaderRoute("beta", (RequestMatch((("X-Beta", ONE), ("a", ONE))),))
    assert some == HeaderRoute("beta", (RequestMatch((("a", ONE), ("X-Beta", ONE))),))


def test_the_prefix_of_every_path_is_no_condition() -> None:
    """A match of the prefix / is the match of all requests, which objects are read back as."""
    every = RequestMatch(path=StringMatch("prefix", "/"))
    assert MirrorRoute("mirror", (every,), 50) == MirrorRoute("mirror", (RequestMatch(),), 50)


def test_a_route_takes_the_place_of_the_one_with_its_name() -> None:
    """Be it of the other kind; the rest stays."""
    traffic = Traffic(Split(20)).with_route(BETA).with_route(COPY)
    assert traffic.routes == (BETA, COPY)
    mirror = MirrorRoute("beta")
    assert traffic.with_route(mirror) == Traffic(Split(20), (), (COPY, mirror))
    assert traffic.without(["beta", "copy"]) == Traffic(Split(20))


def test_routes_can_be_ordered() -> None:
    """By the names of `managedRoutes`; a name that is not among them comes last."""
    routes = tuple(HeaderRoute(name, BETA.matches) for name in ("c", "b", "a"))
    traffic = Traffic(Split(0), routes).ordered(["a", "b", "a"])
    assert [route.name for route in traffic.routes] == ["a", "b", "c"]


def test_all_stable_means_no_route_either() -> None:
    """A header route serves users with the canary, whatever the weight is."""
    assert Traffic(Split(0)).is_all_stable
    assert not Traffic(Split(1)).is_all_stable
    assert not Traffic(Split(0), (BETA,)).is_all_stable


def test_routes_are_written_as_people_read_them() -> None:
    """With their name, and with each condition."""
    regex, prefix = StringMatch("regex", "a|b"), StringMatch("prefix", "/v2")
    matches = (RequestMatch((("x", regex),), prefix, StringMatch("exact", "GET")), BETA.matches[0])
    assert str(HeaderRoute("beta", matches)) == (
        "header route beta (x: ~a|b and path /v2* and method GET or x-beta: 1)"
    )
    assert str(COPY) == "mirror route copy (all requests, 10 %)"
