"""`rollway controller`: run the releases of Rollouts."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from rollway.cli.group import Command
from rollway.cli.options import StoreOptions
from rollway.cli.parameters import Options, contains, option, options
from rollway.cli.stores import open_cluster
from rollway.cli.values import DURATION
from rollway.routers.model import INSTANCE_ID
from rollway.routers.traffic import Evidence

if TYPE_CHECKING:
    from rollway.controller.process import Controller, ControllerOptions

_SERVE, _PROCESS = "Rollouts", "Process"
_LEVELS = ("written", "accepted", "loaded")


def _shard(_context: click.Context, _option: click.Parameter, value: str) -> tuple[int, int]:
    number, _, count = value.partition("/")
    if number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count):
        return int(number), int(count)
    raise click.BadParameter(f"{value!r} is no shard like 1/3")


class _Options(Options):
    """What a controller serves, and how: with `-n` one namespace, else all."""

    store: StoreOptions = contains(StoreOptions)
    instance_id: str = option(
        "--instance-id",
        heading=_SERVE,
        default=INSTANCE_ID,
        show_default=True,
        metavar="ID",
        help="Serve the Rollouts with this instance id; '' serves those without any, which Argo's controller serves too.",
    )
    shard: tuple[int, int] = option(
        "--shard",
        heading=_SERVE,
        default="1/1",
        callback=_shard,
        metavar="K/N",
        help="Serve the K-th of N parts of the Rollouts, divided by UID; each part has a Lease of its own.",
    )
    evidence: str = option(
        "--evidence",
        heading=_SERVE,
        type=click.Choice(_LEVELS),
        default="loaded",
        show_default=True,
        help="What a step waits for, where it can be shown; the annotation rollway.dev/evidence of a Rollout outweighs it.",
    )
    drain: float = option(
        "--drain",
        heading=_SERVE,
        type=DURATION,
        default=1.0,
        metavar="TIME",
        help="How long requests may take where the weight was, before pods go (1s).",
    )
    data_planes: tuple[str, ...] = option(
        "--data-plane",
        heading=_SERVE,
        metavar="NAMESPACE",
        multiple=True,
        help="Namespace of the pods of data planes (repeatable; default: look in all).",
    )
    workers: int = option(
        "--workers",
        heading=_PROCESS,
        type=click.IntRange(1, 64),
        default=8,
        show_default=True,
        help="Rollouts at a time.",
    )
    health_port: int = option(
        "--health-port",
        heading=_PROCESS,
        default=8080,
        show_default=True,
        help="Port of /healthz and /readyz; 0: none.",
    )
    metrics_port: int = option(
        "--metrics-port", heading=_PROCESS, default=8090, show_default=True, help="Port of /metrics; 0: none."
    )
    log_format: str = option(
        "--log-format",
        heading=_PROCESS,
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="Form of the log.",
    )


@click.command(
    cls=Command,
    examples="""
    rollway controller
    rollway controller -n shop --instance-id blue
    rollway controller --shard 1/3 --log-format json
    """,
)
@options(given=_Options)
def controller(given: _Options) -> None:
    """Run the releases of Rollouts until it is stopped; of several replicas one leads, and the others wait."""
    from rollway.controller.endpoints import serve  # noqa: PLC0415 - only this verb needs the controller
    from rollway.controller.process import Controller  # noqa: PLC0415

    if given.store.directory:
        raise click.UsageError("a controller runs on a cluster, not on --dir")
    _log(given)
    store = open_cluster(given.store)
    running = Controller(store, _controller_options(given, store.namespace))
    running.metrics.watch(running.cluster.rollouts.items)
    close = serve(running, given.health_port, given.metrics_port)
    _stop_on_signals(running)
    try:
        lasted = running.run()
    finally:
        close()
    # Whoever lost the lead starts anew, with nothing in memory that could be out of date.
    sys.exit(0 if lasted else 1)


def _controller_options(given: _Options, namespace: str) -> ControllerOptions:
    from rollway.controller.process import ControllerOptions  # noqa: PLC0415

    return ControllerOptions(
        identity=f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}",
        lease_namespace=os.environ.get("POD_NAMESPACE") or given.store.namespace or namespace,
        namespace=given.store.namespace or "",
        instance_id=given.instance_id,
        workers=given.workers,
        shard=given.shard,
        level=Evidence[given.evidence.upper()],
        drain=timedelta(seconds=given.drain),
        data_planes=given.data_planes,
    )


def _stop_on_signals(running: Controller) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: running.stop())


def _log(given: _Options) -> None:
    handler = logging.StreamHandler()
    words = "%(asctime)s %(levelname)s %(message)s"
    if given.log_format == "json":
        from pythonjsonlogger.json import JsonFormatter  # noqa: PLC0415 - only this form needs it

        handler.setFormatter(JsonFormatter(words + " %(name)s"))
    else:
        handler.setFormatter(logging.Formatter(words))
    logging.basicConfig(level=logging.DEBUG if given.store.debug else logging.INFO, handlers=[handler])
    logging.getLogger("urllib3").setLevel(logging.ERROR)
