"""The weights that rollway sets are the shares that real requests get."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.process import rollway
from harness.traffic import planes

if TYPE_CHECKING:
    from collections.abc import Callable

    from data_planes import DataPlane
    from harness.traffic import Shop


WEIGHTS = (0, 1, 20, 50, 99, 100, 0)


@planes(
    *("ingress_nginx", "istio", "istio_gateway", "traefik_gateway"),
    kubelets=["ingress_nginx", "traefik_gateway"],
)
def test_every_weight_is_the_share_of_the_next_requests(
    plane: DataPlane, make_shop: Callable[..., Shop]
) -> None:
    """Without any pause after `--verify loaded`, each weight is the share of 2,000 requests, within four standard deviations."""
    shop = make_shop(plane)
    for weight in (100, *WEIGHTS, 100):
        done = rollway("set-weight", "shop", str(weight), "--verify", "loaded", *plane.loaded_options)
        assert "verified: loaded" in done.stdout
        shop.require_share(weight)


@planes("smi_mesh")
def test_every_weight_is_the_share_of_real_requests(plane: DataPlane, make_shop: Callable[..., Shop]) -> None:
    """Where nobody can ask for `loaded`, each weight is the share of 2,000 requests as soon as the data plane has it."""
    shop = make_shop(plane)
    for weight in WEIGHTS:
        rollway("set-weight", "shop", str(weight))
        shop.settled_share(weight)
