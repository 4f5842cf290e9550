"""Every code that a finding may have, with its meaning: those of rollway itself, and those of every backend."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from rollway.routers import guards, in_charge, linting, observation, removing, router
from rollway.routers.backends import adoption, affinity, endpoints, packages, services
from rollway.routers.errors import InvalidInputError
from rollway.routers.stores import cluster, directory, manifest_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rollway.routers.findings import FindingCode

_OWN: tuple[tuple[str, Sequence[FindingCode]], ...] = (
    (
        "Every backend",
        (
            *endpoints.FINDINGS,
            *services.FINDINGS,
            *affinity.FINDINGS,
            *in_charge.FINDINGS,
            *observation.FINDINGS,
            *removing.FINDINGS,
            *router.FINDINGS,
        ),
    ),
    ("Limits", guards.FINDINGS),
    ("Stores", (*manifest_files.FINDINGS, *directory.FINDINGS, *cluster.FINDINGS)),
    ("Lint", linting.FINDINGS),
    ("Deployments that become Rollouts", adoption.FINDINGS),
)


def sections() -> list[tuple[str, Sequence[FindingCode]]]:
    """Return the codes by the part of rollway that finds them, under the name of that part."""
    return [*_OWN, *((package.name, package.findings) for package in packages())]


def finding_codes() -> dict[str, FindingCode]:
    """Return what every code stands for."""
    return {entry.code: entry for _, entries in sections() for entry in entries}


def refuse_unknown(codes: Iterable[str]) -> None:
    """Raise InvalidInputError when one of some codes is no code of any finding; the error names those alike."""
    known = finding_codes()
    for code in codes:
        if code not in known:
            alike = difflib.get_close_matches(code, known)
            guess = f"did you mean {' or '.join(alike)}? " if alike else ""
            raise InvalidInputError(
                f"{code!r} is the code of no finding", hint=f"{guess}docs/findings.md lists every code"
            )
