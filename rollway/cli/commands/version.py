"""`rollway version`: of this program, and of the cluster's API server."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

import click

from rollway import __version__
from rollway.cli import output as out
from rollway.cli.group import Command
from rollway.cli.options import StoreOptions, output_option
from rollway.cli.parameters import options
from rollway.cli.stores import open_cluster
from rollway.routers.errors import CredentialsError
from rollway.routers.kube.failures import RequestInfo

if TYPE_CHECKING:
    from rollway.routers.stores.cluster import ClusterStore


@click.command(
    cls=Command,
    examples="""
    rollway version --client                          # without asking a cluster
    rollway version -o json
    """,
)
@options(options=StoreOptions)
@click.option("--client", is_flag=True, help="Show only the version of rollway, and ask no cluster.")
@output_option()
def version(options: StoreOptions, *, client: bool, output: str) -> None:
    """Show the version of rollway and, where there is a cluster, of its API server."""
    store = None if client or options.directory else _cluster(options)
    versions: dict[str, Any] = {
        "client": {"version": __version__, "python": platform.python_version()},
        "server": _server(store) if store else None,
    }
    if output != "text":
        out.document(versions, output)
        return
    out.echo(f"rollway {__version__} (Python {platform.python_version()})")
    if versions["server"]:
        out.echo(f"Kubernetes {versions['server']['version']} at {versions['server']['host']}")


def _cluster(options: StoreOptions) -> ClusterStore | None:
    try:
        return open_cluster(options)
    except CredentialsError as error:
        # Asked for by name it must be there; otherwise rollway also works without any cluster.
        if options.kubeconfig or options.context:
            raise
        out.note(f"no cluster was asked: {error.message}")
        return None


def _server(store: ClusterStore) -> dict[str, str]:
    # Every role may ask for it (`system:public-info-viewer`).
    answer = store.connection.request("GET", "/version", RequestInfo("get", "/version"))
    return {"version": str(answer.body.get("gitVersion") or "unknown"), "host": store.connection.host}
