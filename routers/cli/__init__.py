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

from routers import __version__
from routers.cli.options import (
    LEVELS,
    Command,
    WeightCommand,
    complete_name,
    dry_run_option,
    evidence_level,
    limit_options,
    rollout_options,
    store_options,
    write_options,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from routers.router import TrafficRouter
    from routers.stores import Store


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
@store_options
def status(store: Store, namespace: str, name: str | None, output: str) -> None:
    """Show what the routing objects say, of one Rollout or of all."""
    from routers.cli import documents, report  # noqa: PLC0415
    from routers.cli import output as out  # noqa: PLC0415

    seen, failed = report.observe(store, namespace, name)
    if output == "text":
        out.status(seen)
        out.findings(dict.fromkeys(found for entry in seen for found in entry.findings))
    else:
        out.document(documents.status_document(seen), output)
    if failed:
        raise click.exceptions.Exit(1)


@cli.command(cls=WeightCommand)
@click.option("--adopt", is_flag=True, help="Plan to take over an object that belongs to somebody else.")
@rollout_options
@limit_options
@click.argument("weight")
def plan(router: TrafficRouter, weight: str, output: str, *, adopt: bool) -> None:
    """Show what a weight would change, and write nothing. Exit code 3: changes are pending."""
    from routers.cli import documents  # noqa: PLC0415
    from routers.cli import output as out  # noqa: PLC0415
    from routers.guards import enforce, lift  # noqa: PLC0415

    wanted = router.route.split(weight)
    value = router.plan(weight, adopt=adopt)
    if output != "text":
        out.document(documents.plan_document(router.route, wanted, value), output)
    elif value is None:
        click.echo(f"{router.route.ref}: canary {wanted}; nothing to change")
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
def set_weight(router: TrafficRouter, weight: str, output: str, verify: str | None, **words: Any) -> None:
    """Give the canary a WEIGHT: plan, guard, write and verify."""
    _written(router, router.set_weight(weight, verify=evidence_level(verify), **words), weight, output)


@cli.command(cls=Command)
@rollout_options
@limit_options
@write_options
@click.argument("to", type=click.Choice(["stable", "canary"]))
def switch(router: TrafficRouter, to: str, output: str, verify: str | None, **words: Any) -> None:
    """Send all traffic to stable or canary at once (blue-green: active or preview)."""
    weight = router.route.total if to == "canary" else 0
    _written(router, router.switch(to, verify=evidence_level(verify), **words), weight, output)


def _written(router: TrafficRouter, result: Any, weight: int | str, output: str) -> None:
    from routers.cli import output as out  # noqa: PLC0415

    wanted = router.route.split(weight)
    if output == "text":
        out.result(result, wanted)
        out.findings(result.findings)
        return
    from routers.cli import documents  # noqa: PLC0415

    out.document(documents.result_document(result, wanted), output)


@cli.command(cls=WeightCommand)
@click.option(
    "--level", type=click.Choice(LEVELS), help="Evidence to ask for (default: the highest there is)."
)
@rollout_options
@limit_options
@click.argument("weight", required=False)
def verify(router: TrafficRouter, weight: str | None, level: str | None, output: str) -> None:
    """Check that the objects carry WEIGHT; without one, that they agree. Exit code 5: they do not."""
    from routers.cli import documents  # noqa: PLC0415
    from routers.cli import output as out  # noqa: PLC0415
    from routers.errors import NotVerifiedError  # noqa: PLC0415
    from routers.model import Outcome  # noqa: PLC0415

    verdict = router.verify(weight, evidence_level(level))
    if output == "text":
        out.table(
            ("OBJECT", "PART", "WEIGHTS", "CANARY"),
            [(str(seen.ref), seen.part, out.weights(seen), out.canary(seen)) for seen in verdict.readings],
        )
        click.echo(f"{router.route.ref}: {verdict.outcome.value} (evidence: {verdict.evidence.name.lower()})")
    else:
        out.document(documents.verdict_document(router.route, verdict), output)
    if verdict.outcome is not Outcome.MATCHES:
        raise NotVerifiedError(f"{router.route.ref} {verdict.outcome.value}: {verdict.reason}")


@cli.command(cls=WeightCommand)
@rollout_options
@click.argument("weight")
def render(router: TrafficRouter, weight: str, output: str) -> None:
    """Print the routing objects as WEIGHT wants them, ready for `kubectl apply -f -`."""
    from routers.cli import output as out  # noqa: PLC0415

    manifests = router.render(weight)
    if output == "json":
        out.document({"apiVersion": "v1", "kind": "List", "items": manifests}, output)
    else:
        click.echo("\n---\n".join(out.yaml_text(manifest) for manifest in manifests))


@cli.command(cls=Command)
@click.option("--adopt", is_flag=True, help="Also delete an object that belongs to somebody else.")
@dry_run_option
@rollout_options
@limit_options
def reset(router: TrafficRouter, output: str, **words: Any) -> None:
    """Send all traffic to stable, verify it, then delete the objects that rollway made."""
    from routers.cli import documents  # noqa: PLC0415
    from routers.cli import output as out  # noqa: PLC0415

    wanted = router.route.split(0)
    results = router.reset(**words)
    if output != "text":
        out.document([documents.result_document(result, wanted) for result in results], output)
        return
    for result in results:
        out.result(result, wanted)
        out.findings(result.findings)
    if not results:
        click.echo(f"{router.route.ref}: all traffic goes to stable, and nothing is left to delete")


@cli.command()
@store_options
def lint(store: Store, namespace: str, output: str) -> None:
    """Check every Rollout of the store and all that its data planes would say, with file and line."""
    from routers.cli import output as out  # noqa: PLC0415
    from routers.cli import report  # noqa: PLC0415

    problems = report.lint(store, namespace)
    if output == "text":
        for problem in problems:
            click.echo(problem.line)
        counts = [
            sum(problem.severity == name for problem in problems) for name in ("fault", "refusal", "note")
        ]
        names = ("fault", "refusal", "note")
        click.echo(
            ", ".join(
                f"{count} {name}{'s' * (count != 1)}" for count, name in zip(counts, names, strict=True)
            )
        )
    else:
        out.document([problem.document for problem in problems], output)
    severities = {problem.severity for problem in problems}
    if severities & {"fault", "refusal"}:
        raise click.exceptions.Exit(2 if "fault" in severities else 4)


@cli.command()
@click.option(
    "-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", show_default=True
)
def backends(output: str) -> None:
    """Show what each backend can do."""
    from routers.cli import output as out  # noqa: PLC0415
    from routers.cli import report  # noqa: PLC0415

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
    from routers.errors import RollwayError  # noqa: PLC0415

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
