"""A Rollout of the controller, and what its tests wait for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from rollway.routers.model import INSTANCE_ID, INSTANCE_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from api_server import ApiServer

    from rollway.routers.objects import Manifest

LONG_S = 20


def rollout(**spec: Any) -> Manifest:
    """Return the Rollout `web`, labelled for the controller."""
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "v1"}]},
    }
    given = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": "uid-web",
            "generation": 1,
            "labels": {INSTANCE_LABEL: INSTANCE_ID},
        },
        "spec": {**given, "strategy": {"canary": {}}, **spec},
    }


def until(reached: Callable[[], object]) -> None:
    """Wait until something is true."""
    tick, pause = threading.Event(), 0.01
    for _ in range(int(LONG_S / pause)):
        if reached():
            return
        tick.wait(pause)
    raise AssertionError("it was not reached")


def objects(server: ApiServer, plural: str) -> list[Manifest]:
    """Return the objects of a kind."""
    return [item for place, item in list(server.objects.items()) if f"/{plural}/" in place]
