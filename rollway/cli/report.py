"""What the commands print that report: findings, and the table of the backends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollway.cli import output as out
from rollway.routers.backends import packages
from rollway.routers.objects import Access

if TYPE_CHECKING:
    from rollway.routers.linting import Problem


def problems(listed: list[Problem], output: str) -> None:
    """Print what `lint` found, one line each as compilers do, so that editors find the place, and how many there are."""
    if output == "github":
        for problem in listed:
            out.echo(workflow_command(problem))
        return
    if output != "text":
        out.document([problem._asdict() for problem in listed], output)
        return
    for problem in listed:
        out.echo(problem.line)
    names = ("fault", "refusal", "note")
    counts = [sum(problem.severity == name for problem in listed) for name in names]
    out.echo(
        ", ".join(f"{count} {name}{'s' * (count != 1)}" for count, name in zip(counts, names, strict=True))
    )


_LEVELS = {"fault": "error", "refusal": "error", "note": "notice"}


def workflow_command(problem: Problem) -> str:
    """Write a problem as GitHub shows it beside the line of a pull request.

    Source: GitHub, "Workflow commands for GitHub Actions"; its toolkit escapes values in `packages/core/src/command.ts`.
    """
    file, _, line = problem.place.rpartition(":")
    position = {"file": file, "line": line} if file and line.isdigit() else {}
    title = f"rollway {problem.code}"
    settings = ",".join(
        f"{name}={_escaped(value, ':,')}" for name, value in {**position, "title": title}.items()
    )
    place = "" if position else f"{problem.place}: "
    rollout = f"{problem.rollout}: " if problem.rollout else ""
    return f"::{_LEVELS[problem.severity]} {settings}::{_escaped(place + rollout + problem.message)}"


def _escaped(value: str, further: str = "") -> str:
    for character in "%\r\n" + further:
        value = value.replace(character, f"%{ord(character):02X}")
    return value


def capabilities() -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the table of the backends: a header and a row for each."""
    header = (
        "BACKEND",
        "OBJECT",
        "ACCESS",
        "API VERSIONS",
        "TOTAL",
        "BLUE-GREEN",
        "HEADER ROUTES",
        "MIRROR ROUTES",
        "DATA PLANE",
    )
    rows: list[tuple[str, ...]] = []
    for package in packages():
        able = package.backend.capabilities
        header_routes = "refused"
        if able.header_routes:
            header_routes = "yes" if able.weights_beside_header_routes else "at weight 0"
        group, slash, _ = able.versions[0].rpartition("/")
        versions = ", ".join(version.rpartition("/")[2] for version in able.versions)
        rows.append(
            (
                package.name,
                able.objects,
                "ours" if able.access is Access.MANAGED else "shared",
                f"{group}{slash}{versions}",
                f"{able.smallest_total} or more" if able.partial_weights else "0 or all",
                "yes",
                header_routes,
                "yes" if able.mirror_routes else "refused",
                ", ".join(option.name for option in package.addresses) or "not asked",
            )
        )
    return header, rows
