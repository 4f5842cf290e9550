"""`switch --preview-header` on every data plane that has header routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.process import rollway
from harness.traffic import ROUTINGS, planes

if TYPE_CHECKING:
    from collections.abc import Callable

    from data_planes import DataPlane
    from harness.traffic import Shop


@planes("ingress_nginx", "istio", "istio_gateway", "traefik_gateway", kubelets=["traefik_gateway"])
def test_testers_see_the_canary_before_a_switch(plane: DataPlane, make_shop: Callable[..., Shop]) -> None:
    """With `switch --preview-header` only requests with the header get the canary; the plain switch shows it to everybody."""
    shop = make_shop(plane, routing={**ROUTINGS[plane.name], "managedRoutes": [{"name": "preview"}]})
    done = rollway("switch", "shop", "canary", "--preview-header", "X-Preview: yes")
    assert "verified: loaded" in done.stdout, done.stdout + done.stderr
    shop.require_share(0)
    shop.require_share(100, 200, X_Preview="yes")
    rollway("switch", "shop", "canary")
    shop.require_share(100)
    rollway("switch", "shop", "stable")
    shop.require_share(0, 200, X_Preview="yes")
