"""gRPC calls to a shop: servers at the addresses of its pods, and a client."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from data_planes import echo

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE, METHOD = "shop.Shop", "Version"
PORT = 8081
DEADLINE_S = 5


def grpc() -> Any:
    """Return the library, which only the dependency group `traffic` has."""
    # Other tests start processes with code of their own before exec, which gRPC would meet with handlers of its own.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
    return pytest.importorskip("grpc", reason="pip install --group traffic")


@contextlib.contextmanager
def serving(number: int, *versions: str) -> Iterator[None]:
    """Answer at the pods of some versions, in the namespace with that number, with the name of the version."""
    library = grpc()
    servers = []
    for version in versions:
        answer = library.unary_unary_rpc_method_handler(
            lambda _request, _context, name=version: name.encode()
        )
        server = library.server(ThreadPoolExecutor(4))
        server.add_generic_rpc_handlers([library.method_handlers_generic_handler(SERVICE, {METHOD: answer})])
        server.add_insecure_port(f"{echo.address(number, version)}:{PORT}")
        server.start()
        servers.append(server)
    try:
        yield
    finally:
        for server in servers:
            server.stop(0).wait()


class Client:
    """One connection to a gateway, with the host of a shop as its authority."""

    def __init__(self, address: str, host: str) -> None:
        self.library = grpc()
        self.channel = self.library.insecure_channel(address, [("grpc.default_authority", host)])
        self._call = self.channel.unary_unary(f"/{SERVICE}/{METHOD}")

    def ask(self, **metadata: str) -> str:
        """Call once, with this metadata (`_` for `-`); return the version that answers, or what went wrong."""
        pairs = [(name.replace("_", "-"), value) for name, value in metadata.items()]
        try:
            answer: bytes = self._call(b"", metadata=pairs, timeout=DEADLINE_S)
        except self.library.RpcError as error:
            return f"{error.code().name}: {error.details()}"
        return answer.decode()
