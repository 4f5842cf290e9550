"""What a backend does with more than a split, or refuses."""

from __future__ import annotations

import pytest

from rollway.routers.backends import backends_of
from rollway.routers.errors import UnsupportedError
from rollway.routers.testing.contract.subject import Subject
from rollway.routers.traffic import HeaderRoute, MirrorRoute, RequestMatch, StringMatch, Traffic
from rollway.routers.weights import Split


class FeatureContract(Subject):
    """What a backend does with more than a split, or refuses."""

    @pytest.mark.parametrize(
        ("feature", "name"),
        [
            (
                Traffic(
                    Split(5),
                    header_routes=(
                        HeaderRoute("beta", (RequestMatch((("x-beta", StringMatch("exact", "1")),)),)),
                    ),
                ),
                "header routes",
            ),
            (Traffic(Split(5), mirror_routes=(MirrorRoute("copy"),)), "mirror routes"),
        ],
    )
    def test_missing_capability_is_refused(self, feature: Traffic, name: str) -> None:
        """A wish with a feature that the backend lacks is refused before anything is rendered or written."""
        store = self.store()
        missing = [
            backend
            for backend in backends_of(self.rollout())
            if backend.capabilities.missing(feature) == name
        ]
        if not missing:
            self.router(store).set_traffic(feature)
            assert self.router(store).observe().traffic == feature
            return
        with pytest.raises(UnsupportedError, match=name):
            self.router(store).set_traffic(feature)
        assert not store.log
