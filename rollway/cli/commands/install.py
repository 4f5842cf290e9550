"""`rollway install`: what a cluster needs for the controller."""

from __future__ import annotations

import click

from rollway.cli import output as out
from rollway.cli.group import Command
from rollway.cli.options import output_option
from rollway.cli.parameters import Options, option, options
from rollway.controller.install import (
    IMAGE,
    NAMESPACE,
    Installation,
    controller_objects,
    shared_objects,
)
from rollway.routers.backends import packages
from rollway.routers.errors import InvalidInputError
from rollway.routers.model import INSTANCE_ID

CONTROLLER = "Controller"
_APPLY = "rollway install --print | kubectl apply -f -"


class InstallationOptions(Options):
    """Where the controller runs, and which Rollouts are its own."""

    namespace: str = option(
        "-n", "--namespace", heading=CONTROLLER, default=NAMESPACE, show_default=True, help="Where it runs."
    )
    namespaced: bool = option(
        "--namespaced",
        heading=CONTROLLER,
        is_flag=True,
        help="Serve the Rollouts of that namespace alone, and print no object of the cluster.",
    )
    instance_id: str = option(
        "--instance-id",
        heading=CONTROLLER,
        default=INSTANCE_ID,
        show_default=True,
        metavar="ID",
        help="Serve the Rollouts with this instance id; the names of its objects end with another one than the default. '' "
        "serves those without any, which Argo's controller serves too.",
    )
    image: str = option("--image", heading=CONTROLLER, default=IMAGE, show_default=True, help="Its image.")
    data_planes: tuple[str, ...] = option(
        "--data-plane",
        heading=CONTROLLER,
        metavar="NAMESPACE",
        multiple=True,
        help="Allow asking the data plane's pods in this namespace what they have loaded (repeatable).",
    )


@click.command(
    cls=Command,
    examples=f"""
    {_APPLY}
    rollway install --print --only crds | kubectl apply --server-side --force-conflicts -f -
    rollway install --print --namespaced --namespace team | kubectl apply -f -
    """,
)
@options(wanted=InstallationOptions)
@click.option("--print", "printed", is_flag=True, help="Print the objects; nothing else is done with them.")
@click.option(
    "--only",
    type=click.Choice(["crds", "controller"]),
    help="Print a part: what a cluster has once (the CRDs, and the roles that people get), or the controller.",
)
@output_option()
def install(wanted: InstallationOptions, *, printed: bool, only: str | None, output: str) -> None:
    """Print what a cluster needs for the controller: CRDs, roles, Deployment, and what belongs to them."""
    if not printed:
        raise InvalidInputError("rollway install writes nothing to a cluster", hint=f"run: {_APPLY}")
    if only == "crds" and wanted.namespaced:
        raise InvalidInputError(
            "the CRDs are objects of the cluster, and --namespaced prints none",
            hint="run it once with --only crds and once with --namespaced",
        )
    backends = packages()
    objects = [] if wanted.namespaced or only == "controller" else shared_objects(backends)
    if only != "crds":
        objects += controller_objects(
            Installation(
                backends,
                wanted.namespace,
                wanted.namespaced,
                wanted.instance_id,
                wanted.image,
                wanted.data_planes,
            )
        )
    if wanted.namespaced and not only:
        out.note("the CRDs are not among them: rollway install --print --only crds")
    out.manifests(objects, output)
