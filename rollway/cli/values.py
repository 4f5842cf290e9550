"""How the command line reads a time, and the name of a Rollout or a Deployment."""

from __future__ import annotations

from typing import Any

import click

_KINDS = ("rollout", "rollouts", "ro")
"""What kubectl calls a Rollout; `ro` is the short name in Argo Rollouts' CRD."""

_DEPLOYMENTS = ("deployment", "deployments", "deploy")


class Duration(click.ParamType[float]):
    """A time like `30s`, `5m` or `1h30m`, as Go writes it, or a number of seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        if isinstance(value, int | float):
            return float(value)
        import durationpy  # noqa: PLC0415 - the defaults are numbers, so most calls do not need it

        try:
            seconds = float(value) if value.isdigit() else durationpy.from_str(value).total_seconds()
        except (durationpy.DurationError, ValueError):
            self.fail(f"{value!r} is not a time like 30s, 5m or 1h30m", param, ctx)
        if seconds < 0:
            self.fail(f"{value!r} is negative", param, ctx)
        return float(seconds)


class RolloutName(click.ParamType[str]):
    """`NAME`, or as kubectl takes and prints it: `rollout/NAME`, `rollouts.argoproj.io/NAME`."""

    name = "rollout"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name alone."""
        kind, slash, name = value.rpartition("/")
        if slash and (kind.lower().partition(".")[0] not in _KINDS or not _is_argo(kind)):
            self.fail(f"{value!r} is no Rollout: give NAME or rollout/NAME", param, ctx)
        if not name:
            self.fail(f"{value!r} has no name", param, ctx)
        return str(name)


class DeploymentName(click.ParamType[str]):
    """`deployment/NAME`, as kubectl takes and prints it, or `NAME`."""

    name = "deployment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name alone."""
        kind, slash, name = value.rpartition("/")
        word, _, group = kind.lower().partition(".")
        if slash and (word not in _DEPLOYMENTS or group not in ("", "apps", "v1.apps")):
            self.fail(f"{value!r} is no Deployment: give deployment/NAME", param, ctx)
        if not name:
            self.fail(f"{value!r} has no name", param, ctx)
        return str(name)


def without_kind(names: tuple[str, ...]) -> tuple[str, ...]:
    """Take the word `rollout` from the front of some names, as in `kubectl argo rollouts get rollout NAME`."""
    return names[1:] if len(names) > 1 and names[0] in _KINDS else names


def _is_argo(kind: str) -> bool:
    _, dot, group = kind.lower().partition(".")
    return not dot or group in ("argoproj.io", "v1alpha1.argoproj.io")


DEPLOYMENT_NAME = DeploymentName()
DURATION = Duration()
ROLLOUT_NAME = RolloutName()
