"""The command line: `rollway`, and `kubectl rollway` by the name `kubectl-rollway`.

Commands are thin: words in, one call of `TrafficRouter`, output. Modules that a command needs are imported when it
runs, so that `--help` and completion stay fast.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from rollway import __version__
from rollway.cli.duration import DURATION
from rollway.cli.options import (
    Command,
    WeightCommand,
    complete_name,
    dry_run_option,
    events_option,
    evidence_level,
    level_option,
    limit_options,
    on_failure_option,
    rollout_options,
    scope_options,
    timeout_option,
    wait_option,
    write_options,
)
from rollway.cli.probes import LEVELS, data_plane_options, probe_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rollway.routers.gitops import Tool
    from rollway.routers.router import TrafficRouter
    from rollway.routers.stores import Store


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, package_name="rollway", message="rollway %(version)s")
def cli() -> None:
    """Move traffic between the stable and the canary version of a Rollout: plan, refuse, apply, verify.

    WEIGHT is 20 (of the total), 0.5% or 5/1000.

    Exit codes: 0 done or nothing to do; 1 failed; 2 usage or invalid input; 3 changes pending (plan); 4 refused
    (unsafe, foreign, unsupported); 5 not verified.
    """


@cli.command()
@click.argument("name", required=False, shell_complete=complete_name)
@click.option("-w", "--watch", is_flag=True, help="Show it again whenever it changes, until Ctrl-C.")
@scope_options
@data_plane_options
def status(
    store: Store,
    namespace: str,
    name: str | None,
    output: str,
    *,
    watch: bool,
    **data_planes: tuple[str, ...],
) -> None:
    """Show what the routing objects say, of all Rollouts, or of one beside what was asked and what is loaded."""
    from rollway.cli import report  # noqa: PLC0415

    if not name and any(data_planes.values()):
        raise click.UsageError("the options about data planes need the NAME of a Rollout")
    if watch:
        report.watch(store, namespace, name, output, data_planes)
    elif report.show(store, namespace, name, output, data_planes):
        raise click.exceptions.Exit(1)


@cli.command(cls=WeightCommand)
@click.option("--adopt", is_flag=True, help="Plan to take over an object that belongs to somebody else.")
@rollout_options
@limit_options
@click.argument("weight")
def plan(router: TrafficRouter, weight: str, output: str, *, adopt: bool) -> None:
    """Show what a weight would change, and write nothing. Exit code 3: changes are pending."""
    from rollway.cli import documents  # noqa: PLC0415
    from rollway.cli import output as out  # noqa: PLC0415
    from rollway.routers.guards import enforce, lift  # noqa: PLC0415

    wanted = router.rollout.split(weight)
    value = router.plan(weight, adopt=adopt)
    if output != "text":
        out.document(documents.plan_document(router.rollout, wanted, value), output)
    elif value is None:
        click.echo(f"{router.rollout.ref}: canary {wanted}; nothing to change")
    else:
        out.plan(value, wanted)
        out.findings(lift(value.findings, router.limits.allow))
    if value is not None:
        enforce(value, router.limits)
        raise click.exceptions.Exit(3)


@cli.command("set-weight", cls=WeightCommand)
@rollout_options
@limit_options
@write_options
@click.argument("weight")
def set_weight(router: TrafficRouter, weight: str, **words: Any) -> None:
    """Give the canary a WEIGHT: plan, guard, write and verify."""
    _write(router, weight, **words)


@cli.command(cls=Command)
@rollout_options
@limit_options
@write_options
@click.argument("to", type=click.Choice(["stable", "canary"]))
def switch(router: TrafficRouter, to: str, **words: Any) -> None:
    """Send all traffic to stable or canary at once (blue-green: active or preview)."""
    _write(router, router.rollout.total if to == "canary" else 0, **words)


def _write(
    router: TrafficRouter, weight: int | str, *, output: str, verify: str | None, events: bool, **words: Any
) -> None:
    """Set a weight, tell of it, and leave an Event about it."""
    from rollway.cli import output as out  # noqa: PLC0415
    from rollway.cli.progress import Waiting  # noqa: PLC0415
    from rollway.routers.events import Recorder  # noqa: PLC0415

    wanted = router.rollout.split(weight)
    record = Recorder(router, enabled=events and not words["dry_run"], note=out.note)
    with record.failures(wanted), Waiting() as waiting:
        result = router.set_weight(weight, verify=evidence_level(verify), waiting=waiting, **words)
    if output == "text":
        out.result(result, wanted)
        out.findings(result.findings)
    else:
        from rollway.cli import documents  # noqa: PLC0415

        out.document(documents.result_document(result, wanted), output)
    record.written(result, wanted)


@cli.command()
@click.option("--step", required=True, metavar="WEIGHT", help="How much to move each time.")
@click.option(
    "--every", required=True, type=DURATION, metavar="TIME", help="How long to stay at each weight: 30s, 5m."
)
@click.option(
    "--on-interrupt",
    type=click.Choice(["stay", "back"]),
    default="back",
    show_default=True,
    help="Without a terminal: stay at the weight, or go back to stable, after Ctrl-C or SIGTERM.",
)
@click.option(
    "--patience",
    type=DURATION,
    default=120,
    metavar="TIME",
    help="How long a step waits for an API server that does not answer (default: 2m).",
)
@click.option("--adopt", is_flag=True, help="Take over an object that belongs to somebody else.")
@wait_option
@events_option
@level_option
@timeout_option
@on_failure_option
@rollout_options
@probe_options
@limit_options
@click.argument("span", metavar="FROM..TO")
def ramp(
    router: TrafficRouter, span: str, step: str, every: float, *, verify: str | None, **words: Any
) -> None:
    """Move the weight from FROM to TO in steps, with time between them; run again, it goes on from what is live."""
    from rollway.cli.ramp import run  # noqa: PLC0415

    start, dots, end = span.partition("..")
    if not (start and dots and end):
        raise click.UsageError(f"{span!r} is not of the form FROM..TO, like 0..100")
    code = run(router, (start, end, step), every, verify=evidence_level(verify), **words)
    if code:
        raise click.exceptions.Exit(code)


@cli.command(cls=WeightCommand)
@click.option(
    "--level", type=click.Choice(LEVELS), help="Evidence to ask for (default: the highest there is)."
)
@click.option(
    "--timeout",
    type=DURATION,
    default=0,
    metavar="TIME",
    help="Look again for this long while a data plane does not follow (default: one look).",
)
@rollout_options
@probe_options
@limit_options
@click.argument("weight", required=False)
def verify(router: TrafficRouter, weight: str | None, level: str | None, timeout: float, output: str) -> None:
    """Check that WEIGHT is what objects, data planes and requests show; without one, what the objects say. Exit code 5: not."""
    from rollway.cli import documents  # noqa: PLC0415
    from rollway.cli import output as out  # noqa: PLC0415
    from rollway.routers.errors import NotVerifiedError  # noqa: PLC0415
    from rollway.routers.model import Outcome  # noqa: PLC0415

    verdict = router.verify(weight, evidence_level(level), timeout)
    if output == "text":
        out.table(
            ("OBJECT", "PART", "WEIGHTS", "CANARY"),
            [(str(seen.ref), seen.part, out.weights(seen), out.canary(seen)) for seen in verdict.readings],
        )
        click.echo(
            f"{router.rollout.ref}: {verdict.outcome.value} (evidence: {verdict.evidence.name.lower()})"
        )
        if verdict.reason and verdict.outcome is Outcome.MATCHES:
            click.echo(f"  {verdict.reason}")
    else:
        out.document(documents.verdict_document(router.rollout, verdict), output)
    if verdict.outcome is not Outcome.MATCHES:
        raise NotVerifiedError(f"{router.rollout.ref} {verdict.outcome.value}: {verdict.reason}")


@cli.command(cls=WeightCommand)
@rollout_options
@click.argument("weight")
def render(router: TrafficRouter, weight: str, output: str) -> None:
    """Print the routing objects as WEIGHT wants them, ready for `kubectl apply -f -`."""
    from rollway.cli import output as out  # noqa: PLC0415

    out.manifests(router.render(weight), output)


@cli.command(cls=Command)
@click.option("--adopt", is_flag=True, help="Also delete an object that belongs to somebody else.")
@dry_run_option
@events_option
@rollout_options
@limit_options
def reset(router: TrafficRouter, output: str, *, events: bool, **words: Any) -> None:
    """Send all traffic to stable, verify it, then delete the objects that rollway made."""
    from rollway.cli import documents  # noqa: PLC0415
    from rollway.cli import output as out  # noqa: PLC0415
    from rollway.routers.events import REMOVED, Recorder, summary  # noqa: PLC0415

    wanted = router.rollout.split(0)
    record = Recorder(router, enabled=events and not words["dry_run"], note=out.note)
    with record.failures(wanted):
        results = router.reset(**words)
    if output != "text":
        out.document([documents.result_document(result, wanted) for result in results], output)
    else:
        for result in results:
            out.result(result, wanted)
            out.findings(result.findings)
        if not results:
            click.echo(f"{router.rollout.ref}: all traffic goes to stable, and nothing is left to delete")
    if any(result.changed for result in results):
        record(REMOVED, "\n".join(summary(result, wanted) for result in results), asked=wanted)


@cli.command()
@click.option(
    "--serviceaccount",
    default="",
    metavar="[NAMESPACE:]NAME",
    help="Bind the Role to this ServiceAccount as well.",
)
@click.option(
    "--data-plane",
    "data_planes",
    metavar="NAMESPACE",
    multiple=True,
    help="Allow asking the data plane's pods in this namespace what they have loaded (repeatable).",
)
@rollout_options
def rbac(router: TrafficRouter, serviceaccount: str, data_planes: tuple[str, ...], output: str) -> None:
    """Print the least Role with which every verb works for one Rollout."""
    from rollway.cli import output as out  # noqa: PLC0415
    from rollway.routers import rbac as roles  # noqa: PLC0415

    out.manifests(roles.manifests(router.rollout, serviceaccount, data_planes), output)


@cli.command()
@click.option(
    "--for",
    "tool",
    type=click.Choice(["argocd", "flux"]),
    required=True,
    help="The tool that syncs from Git.",
)
@rollout_options
def gitops(router: TrafficRouter, tool: Tool, output: str) -> None:
    """Print what keeps a GitOps tool from writing the weights of your own objects back."""
    from rollway.cli import output as out  # noqa: PLC0415
    from rollway.routers import gitops as stanzas  # noqa: PLC0415
    from rollway.routers.planning import needs_of  # noqa: PLC0415

    pointers = stanzas.weight_pointers(router.rollout, router.store.read(needs_of(router.rollout)))
    if not pointers:
        click.echo(
            f"note: {router.rollout.ref} changes no object of yours, so there is nothing to leave alone",
            err=True,
        )
        return
    found = stanzas.stanzas(tool, pointers)
    if output == "json":
        out.document([stanza for _, stanza in found], output)
    else:
        click.echo("\n---\n".join(f"# into your {owner}\n{out.yaml_text(stanza)}" for owner, stanza in found))


@cli.command()
@click.argument("name", required=False, shell_complete=complete_name)
@scope_options
def lint(store: Store, namespace: str, name: str | None, output: str) -> None:
    """Check one Rollout or all, and what their data planes would say, with file and line."""
    from rollway.cli import report  # noqa: PLC0415
    from rollway.routers import linting  # noqa: PLC0415

    problems = linting.lint(store, namespace, name or "")
    report.problems(problems, output)
    severities = {problem.severity for problem in problems}
    if severities & {"fault", "refusal"}:
        raise click.exceptions.Exit(2 if "fault" in severities else 4)


@cli.command()
@click.option(
    "-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", show_default=True
)
def backends(output: str) -> None:
    """Show what each backend can do."""
    from rollway.cli import output as out  # noqa: PLC0415
    from rollway.cli import report  # noqa: PLC0415

    header, rows = report.capabilities()
    if output == "text":
        out.table(header, rows)
    else:
        out.document([dict(zip(header, row, strict=True)) for row in rows], output)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell: eval "$(rollway completion bash)"."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    kind = get_completion_class(shell)
    assert kind is not None, "click knows the three shells"
    click.echo(kind(cli, {}, "rollway", "_ROLLWAY_COMPLETE").source())


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the code that the errors' tree gives."""
    from rollway.routers.errors import RollwayError  # noqa: PLC0415

    # A command lives for a moment: collecting garbage while it imports and parses would cost a tenth of its time.
    gc.set_threshold(200_000, 20, 20)
    words = list(sys.argv[1:] if args is None else args)
    program = "kubectl rollway" if os.path.basename(sys.argv[0]).startswith("kubectl-") else "rollway"
    try:
        code = cli.main(words, prog_name=program, standalone_mode=False, complete_var="_ROLLWAY_COMPLETE")
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except click.Abort:
        code = 130
    except RollwayError as error:
        if "--debug" in words:
            raise
        click.echo(f"{click.style('error:', fg='red')} {error}", err=True)
        code = error.exit_code
    except Exception as error:
        if "--debug" in words:
            raise
        click.echo(
            f"error: {type(error).__name__}: {error}\n  this is a bug in rollway; --debug shows where",
            err=True,
        )
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
