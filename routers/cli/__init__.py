"""The command line: `rollway`, and `kubectl rollway` by the name `kubectl-rollway`.

Commands are thin: words in, one call of `TrafficRouter`, output. Modules that a command needs are imported when it
runs, so that `--help` and completion stay fast.
"""

from __future__ import annotations

import functools
import gc
import os
import re
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

from routers import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from click.shell_completion import CompletionItem

    from routers.model import Evidence
    from routers.router import TrafficRouter
    from routers.stores.directory import DirectoryStore

_Function = TypeVar("_Function", bound="Callable[..., Any]")

_LEVELS = ("written", "accepted", "loaded", "measured")
_NO_STORE = "give --dir PATH: a directory (or one file) of manifests. Clusters come with the next version"


class _WeightCommand(click.Command):
    """Take `-1` for a weight, which then is refused with its range, and not for an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        negative = [word for word in args if re.match(r"-\.?\d", word)]
        if negative and "--" not in args:
            args = [*(word for word in args if word not in negative), "--", *negative]
        return super().parse_args(ctx, args)


def _complete_name(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the names of the Rollouts in the store."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415

    from routers.errors import RollwayError  # noqa: PLC0415
    from routers.router import read_routes  # noqa: PLC0415

    path = ctx.params.get("directory") or os.environ.get("ROLLWAY_DIR")
    try:
        names = (
            {found.ref.name for found, _ in read_routes(_open(path or "", ctx.params.get("namespace")))}
            if path
            else set()
        )
    except RollwayError:
        names = set()
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


def _open(directory: str, namespace: str | None) -> DirectoryStore:
    from routers.stores.directory import DirectoryStore  # noqa: PLC0415

    return DirectoryStore(directory, namespace or "default")


def store_options(function: _Function) -> _Function:
    """Add the options that choose a store and an output, and open the store."""

    @click.option(
        "--dir",
        "directory",
        type=click.Path(exists=True),
        envvar="ROLLWAY_DIR",
        show_envvar=True,
        help="Directory (or one file) of manifests.",
    )
    @click.option("-n", "--namespace", help="Namespace of the Rollout, and of manifests that name none.")
    @click.option(
        "-o", "--output", type=click.Choice(["text", "json", "yaml"]), default="text", show_default=True
    )
    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @functools.wraps(function)
    def wrapper(directory: str | None, namespace: str | None, *, debug: bool, **words: Any) -> Any:  # noqa: ARG001 - main reads debug
        if directory is None:
            raise click.UsageError(_NO_STORE)
        return function(store=_open(directory, namespace), namespace=namespace or "", **words)

    return wrapper  # type: ignore[return-value] # click decorates the signature


def rollout_options(function: _Function) -> _Function:
    """Add NAME and -f, and read the Rollout into a router."""

    @click.argument("name", shell_complete=_complete_name)
    @click.option(
        "-f", "--filename", type=click.Path(exists=True, dir_okay=False), help="File with the Rollout."
    )
    @store_options
    @functools.wraps(function)
    def wrapper(name: str, filename: str | None, store: DirectoryStore, namespace: str, **words: Any) -> Any:
        from routers.router import TrafficRouter, read_route  # noqa: PLC0415

        source = _open(filename, namespace) if filename else store
        return function(router=TrafficRouter(read_route(source, name, namespace), store), **words)

    return wrapper  # type: ignore[return-value] # click decorates the signature


def limit_options(function: _Function) -> _Function:
    """Add the guards, and give the router their limits."""

    @click.option("--max-step", metavar="WEIGHT", help="Refuse a larger change of the canary's weight.")
    @click.option("--keep-stable", is_flag=True, help="Refuse to leave stable without traffic.")
    @click.option("--no-create", is_flag=True, help="Refuse to create objects.")
    @click.option("--no-delete", is_flag=True, help="Refuse to delete objects.")
    @click.option(
        "--allow", metavar="CODE", multiple=True, help="Tell a refusal with this code as a note (repeatable)."
    )
    @functools.wraps(function)
    def wrapper(
        router: TrafficRouter,
        max_step: str | None,
        keep_stable: bool,
        no_create: bool,
        no_delete: bool,
        allow: tuple[str, ...],
        **words: Any,
    ) -> Any:
        from dataclasses import replace  # noqa: PLC0415

        from routers.guards import Limits  # noqa: PLC0415

        limits = Limits(max_step, keep_stable, not no_create, not no_delete, frozenset(allow))
        return function(router=replace(router, limits=limits), **words)

    return wrapper  # type: ignore[return-value] # click decorates the signature


def write_options(function: _Function) -> _Function:
    """Add what the writing verbs share."""
    for decorate in (
        click.option("--dry-run", is_flag=True, help="Show the plan and write nothing."),
        click.option(
            "--expect",
            metavar="FINGERPRINT",
            default="",
            help="Refuse unless the plan is still the reviewed one.",
        ),
        click.option("--adopt", is_flag=True, help="Take over an object that belongs to somebody else."),
        click.option(
            "--verify", type=click.Choice(_LEVELS), help="Evidence to reach (default: the highest there is)."
        ),
    ):
        function = decorate(function)
    return function


def _level(word: str | None) -> Evidence | None:
    from routers.model import Evidence  # noqa: PLC0415

    return Evidence[word.upper()] if word else None


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, package_name="rollway", message="rollway %(version)s")
def cli() -> None:
    """Move traffic between the stable and the canary version of a Rollout: plan, refuse, apply, verify.

    WEIGHT is 20 (of the total), 0.5% or 5/1000.

    Exit codes: 0 done or nothing to do; 1 failed; 2 usage or invalid input; 3 changes pending (plan); 4 refused
    (unsafe, foreign, unsupported); 5 not verified.
    """


@cli.command()
@click.argument("name", required=False, shell_complete=_complete_name)
@store_options
def status(store: DirectoryStore, namespace: str, name: str | None, output: str) -> None:
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


@cli.command(cls=_WeightCommand)
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


@cli.command("set-weight", cls=_WeightCommand)
@rollout_options
@limit_options
@write_options
@click.argument("weight")
def set_weight(router: TrafficRouter, weight: str, output: str, verify: str | None, **words: Any) -> None:
    """Give the canary a WEIGHT: plan, guard, write and verify."""
    _written(router, router.set_weight(weight, verify=_level(verify), **words), weight, output)


@cli.command()
@rollout_options
@limit_options
@write_options
@click.argument("to", type=click.Choice(["stable", "canary"]))
def switch(router: TrafficRouter, to: str, output: str, verify: str | None, **words: Any) -> None:
    """Send all traffic to stable or canary at once (blue-green: active or preview)."""
    weight = router.route.total if to == "canary" else 0
    _written(router, router.switch(to, verify=_level(verify), **words), weight, output)


def _written(router: TrafficRouter, result: Any, weight: int | str, output: str) -> None:
    from routers.cli import output as out  # noqa: PLC0415

    wanted = router.route.split(weight)
    if output == "text":
        out.result(result, wanted)
        out.findings(result.findings)
        return
    from routers.cli import documents  # noqa: PLC0415

    out.document(documents.result_document(result, wanted), output)


@cli.command(cls=_WeightCommand)
@click.option(
    "--level", type=click.Choice(_LEVELS), help="Evidence to ask for (default: the highest there is)."
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

    verdict = router.verify(weight, _level(level))
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


@cli.command(cls=_WeightCommand)
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


@cli.command()
@click.option("--adopt", is_flag=True, help="Also delete an object that belongs to somebody else.")
@click.option("--dry-run", is_flag=True, help="Show the plans and write nothing.")
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
def lint(store: DirectoryStore, namespace: str, output: str) -> None:
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
