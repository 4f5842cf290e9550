"""The weights that rollway sets are the shares that real requests get."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.process import rollway

if TYPE_CHECKING:
    from collections.abc import Callable

    from data_planes import DataPlane
    from harness.traffic import Shop


WEIGHTS = (0, 1, 20, 50, 99, 100, 0)


def test_every_weight_is_the_share_of_real_requests(plane: DataPlane, make_shop: Callable[..., Shop]) -> None:
    """Each weight that the command sets is the share of 2,000 requests, within four standard deviations."""
    shop = make_shop(plane)
    for weight in WEIGHTS:
        rollway("set-weight", "shop", str(weight))
        shop.settled_share(weight)
