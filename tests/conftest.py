"""Settings of all tests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from rollway.routers.finding_codes import finding_codes
from rollway.routers.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from api_server import ApiServer

    from rollway.routers.kube.client import Client
    from rollway.routers.kube.connection import Connection
    from rollway.routers.stores.cluster import ClusterStore

# Time is never asserted, and coverage slows everything down. In CI the examples are the same in every run, so that
# only a change of the code changes the result; elsewhere they are new ones each time.
settings.register_profile(
    "rollway",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("rollway")


@pytest.fixture(autouse=True, scope="session")
def _known_codes() -> None:
    """Let a finding with a code that nobody describes fail the test that meets it."""
    codes, make = finding_codes(), Finding.__new__

    def checked(kind: type[Finding], code: str, *words: Any, **named: Any) -> Finding:
        assert code in codes, f"{code} is not in any FINDINGS"
        return make(kind, code, *words, **named)

    Finding.__new__ = checked  # type: ignore[method-assign,assignment] # a named tuple has no hook of its own


# What these import is loaded by the tests that ask for them, so that coverage sees the modules load.


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """An API server of the tests' own, without objects."""
    from api_server import api_server

    with api_server() as server:
        yield server


@pytest.fixture
def connection(server: ApiServer, tmp_path: Path) -> Iterator[Connection]:
    """A connection to it."""
    from rollway.routers.kube.connection import Connection

    connection = Connection(server.kubeconfig(tmp_path), timeout=2.0)
    yield connection
    connection.close()


@pytest.fixture
def client(connection: Connection) -> Client:
    """A client of it."""
    from rollway.routers.kube.client import Client
    from rollway.routers.kube.discovery import Discovery

    return Client(connection, Discovery(connection))


@pytest.fixture
def store(server: ApiServer, tmp_path: Path) -> Iterator[ClusterStore]:
    """A store on it, which then serves Rollouts too."""
    from api_server import KINDS, ROLLOUTS

    from rollway.routers.kube.connection import Connection
    from rollway.routers.stores.cluster import ClusterStore

    server.kinds = KINDS | ROLLOUTS
    store = ClusterStore(Connection(server.kubeconfig(tmp_path), timeout=2.0), cache=False)
    yield store
    store.close()
