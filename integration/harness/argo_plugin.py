"""Fixtures of the tests in which Argo's controller runs beside rollway's: one cluster for all their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.argo_rollouts import BothControllers, both_controllers

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def running_controllers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BothControllers]:
    """A cluster with both controllers, for the whole run."""
    minor = request.config.getoption("--kubernetes")
    with both_controllers(tmp_path_factory.mktemp("argo"), minor) as found:
        yield found


@pytest.fixture
def both(running_controllers: BothControllers, monkeypatch: pytest.MonkeyPatch) -> BothControllers:
    """The cluster with both controllers, which the verbs find as well."""
    monkeypatch.setenv("KUBECONFIG", str(running_controllers.kubeconfig))
    return running_controllers
