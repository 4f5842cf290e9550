"""The command line: `rollway`, and `kubectl rollway` by the name `kubectl-rollway`.

A verb is thin: options in, one call of the library, output. The group imports it when it is called.
"""

from __future__ import annotations

from rollway.cli import garbage  # noqa: F401 - before the others: it spares what importing them costs

# isort: split

import os
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from rollway import __version__
from rollway.cli import output as out
from rollway.cli.group import WIDTH, LazyGroup, Verb
from rollway.cli.leaving import leave
from rollway.cli.options import StoreOptions
from rollway.cli.parameters import passed_on

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOOK, _MOVE, _FILES, _OTHER = "Look", "Move traffic", "Manifests for other tools", "rollway itself"
_WATCH, _RELEASE = "Look at releases", "Run releases, with their controller"

VERBS = {
    "status": Verb(
        "rollway.cli.commands.status:status",
        _LOOK,
        "Show what the routing objects show, of all Rollouts, or of one beside what was asked and what is loaded.",
    ),
    "plan": Verb(
        "rollway.cli.commands.plan:plan", _LOOK, "Show what a weight would change, and write nothing."
    ),
    "verify": Verb(
        "rollway.cli.commands.verify:verify",
        _LOOK,
        "Check that WEIGHT is what objects, data planes and requests show; without one, what the objects show.",
    ),
    "lint": Verb(
        "rollway.cli.commands.lint:lint",
        _LOOK,
        "Check one Rollout or all, and what their data planes would report, with file and line; and templates of analyses.",
    ),
    "check": Verb(
        "rollway.cli.commands.check:check",
        _LOOK,
        "List what works for a Rollout and what does not: access, kinds, rights, objects, endpoints, data planes, writers.",
    ),
    "set-weight": Verb(
        "rollway.cli.commands.set_weight:set_weight",
        _MOVE,
        "Give the canary a WEIGHT: plan, guard, write and verify. Header and mirror routes stay as they are.",
    ),
    "switch": Verb(
        "rollway.cli.commands.set_weight:switch",
        _MOVE,
        "Send all traffic to stable or canary at once (blue-green: active or preview), and remove header and mirror routes.",
    ),
    "header-route": Verb(
        "rollway.cli.commands.routes:header_route",
        _MOVE,
        "Send requests with certain headers to the canary, whatever the weight is, or remove such a route.",
    ),
    "mirror-route": Verb(
        "rollway.cli.commands.routes:mirror_route",
        _MOVE,
        "Copy requests to the canary, whose answers nobody gets, or remove such a route.",
    ),
    "ramp": Verb(
        "rollway.cli.commands.ramp:ramp",
        _MOVE,
        "Move the weight from FROM to TO in steps, with time between them; run again, it goes on from what is live.",
    ),
    "reset": Verb(
        "rollway.cli.commands.reset:reset",
        _MOVE,
        "Send all traffic to stable, verify it, then delete the objects that rollway made.",
    ),
    "get": Verb(
        "rollway.cli.commands.get:get",
        _WATCH,
        "Show a Rollout with its step, weights, images and pods, and beside them the live traffic and its evidence.",
    ),
    "list": Verb(
        "rollway.cli.commands.list:list_",
        _WATCH,
        "List Rollouts with strategy, phase, step, weight and pods, as their controller reports them.",
    ),
    "history": Verb(
        "rollway.cli.commands.history:history",
        _WATCH,
        "List the revisions of a Rollout, to which `rollway undo` can go back, or show the pod template of one.",
    ),
    "wait": Verb(
        "rollway.cli.commands.wait:wait",
        _WATCH,
        "Wait until a Rollout is Healthy, Paused or at a step, and print each change on the way. Exit code 5: not in time.",
    ),
    "analyze": Verb(
        "rollway.cli.commands.analyze:analyze",
        _WATCH,
        "Measure the metrics of an AnalysisTemplate once, and show what a release would make of them.",
    ),
    "set": Verb(
        "rollway.cli.commands.set:set_",
        _RELEASE,
        "Set the image of containers of a Rollout, or of the workload that it refers to, which begins an update.",
    ),
    "promote": Verb(
        "rollway.cli.commands.promote:promote",
        _RELEASE,
        "End the pause of a Rollout, or skip the step that is under way; with --full, complete the update at once.",
    ),
    "abort": Verb(
        "rollway.cli.commands.abort:abort",
        _RELEASE,
        "Stop the update of a Rollout: all traffic and pods go back to stable.",
    ),
    "retry": Verb(
        "rollway.cli.commands.abort:retry",
        _RELEASE,
        "Begin the aborted update of a Rollout again, from its first step.",
    ),
    "undo": Verb(
        "rollway.cli.commands.undo:undo",
        _RELEASE,
        "Give a Rollout, or the workload that it refers to, the pod template of an earlier revision.",
    ),
    "pause": Verb(
        "rollway.cli.commands.pause:pause",
        _RELEASE,
        "Stop a Rollout where it is (spec.paused), until `rollway resume` or `rollway promote`.",
    ),
    "resume": Verb(
        "rollway.cli.commands.pause:resume",
        _RELEASE,
        "Undo `rollway pause`; a pause that the release itself makes goes on, until `rollway promote`.",
    ),
    "restart": Verb(
        "rollway.cli.commands.restart:restart",
        _RELEASE,
        "Replace all pods of a Rollout one after the other, as far as its maxUnavailable allows, without a new release.",
    ),
    "adopt": Verb(
        "rollway.cli.commands.adopt:adopt",
        _RELEASE,
        "Print or apply the Rollout for a running Deployment, with its Services, routes and autoscaler.",
    ),
    "render": Verb(
        "rollway.cli.commands.render:render",
        _FILES,
        "Print the routing objects as WEIGHT wants them, ready for `kubectl apply -f -`.",
    ),
    "rbac": Verb(
        "rollway.cli.commands.rbac:rbac",
        _FILES,
        "Print the least Role with which every verb that moves traffic works for one Rollout.",
    ),
    "controller": Verb(
        "rollway.cli.commands.controller:controller",
        _OTHER,
        "Run the releases of Rollouts until it is stopped; of several replicas one leads, and the others wait.",
    ),
    "install": Verb(
        "rollway.cli.commands.install:install",
        _FILES,
        "Print what a cluster needs for the controller: CRDs, roles, Deployment, and what belongs to them.",
    ),
    "gitops": Verb(
        "rollway.cli.commands.gitops:gitops",
        _FILES,
        "Print what keeps a GitOps tool from writing the weights of your own objects back.",
    ),
    "backends": Verb("rollway.cli.commands.backends:backends", _OTHER, "Show what each backend can do."),
    "version": Verb(
        "rollway.cli.commands.version:version",
        _OTHER,
        "Show the version of rollway and, where there is a cluster, of its API server.",
    ),
    "completion": Verb(
        "rollway.cli.commands.completion:completion",
        _OTHER,
        'Print the completion script of a shell: eval "$(rollway completion bash)".',
    ),
}


@click.group(
    cls=LazyGroup,
    verbs=VERBS,
    params=[
        *passed_on(StoreOptions),
        click.Option(["-o", "--output"], metavar="FORM", expose_value=False, help="Form of the answer."),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH},
)
@click.version_option(__version__, package_name="rollway", message="rollway %(version)s")
def cli() -> None:
    """Move traffic between the stable and the canary version of a Rollout: plan, refuse, apply, verify; and run its release.

    WEIGHT is 20 (of the total), 0.5% or 5/1000.

    Exit codes: 0 done or nothing to do; 1 failed; 2 usage or invalid input; 3 changes pending (plan); 4 refused
    (unsafe, foreign, unsupported); 5 not verified, or not reached in time.
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, and end the process with the code that the errors' tree gives; see `leaving`."""
    try:
        code = run(sys.argv[1:] if args is None else args)
    except Exception:  # noqa: BLE001 - whatever `--debug` lets through
        sys.excepthook(*sys.exc_info())
        code = 1
    leave(code)


def run(args: Sequence[str]) -> int:
    """Run the command line inside a process that goes on, and return its exit code.

    With `--debug` among the words, an error is raised instead of printed.
    """
    words = list(args)
    program = "kubectl rollway" if os.path.basename(sys.argv[0]).startswith("kubectl-") else "rollway"
    try:
        code = cli.main(
            words,
            prog_name=program,
            standalone_mode=False,
            complete_var="_ROLLWAY_COMPLETE",
            color=out.colour(),
        )
        out.finish()
    except click.Abort:
        code = 130
    except SystemExit as stop:  # how click ends a completion
        code = stop.code
    except Exception as error:
        if "--debug" in words and not isinstance(error, click.ClickException | out.OutputError):
            raise
        from rollway.cli import failures  # noqa: PLC0415 - a call that succeeds does not need it

        code = failures.report(error, failures.form_of(words))
    return code if isinstance(code, int) else 0
