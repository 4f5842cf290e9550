"""A page for each backend: what people wrote about it, and below that what the code itself shows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rollway.routers.backends import BackendPackage, builtin_packages
from rollway.routers.lookup import read_rollouts
from rollway.routers.objects import Access
from rollway.routers.rbac import manifests
from rollway.routers.stores.directory import DirectoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Need

ROOT = Path(__file__).parent.parent
MARK = "<!-- Written from the code: ROLLWAY_GOLDEN=write pytest tests/test_backend_pages.py -->\n"
ACCESS = {
    Access.READ: "is only read",
    Access.SHARED: "yours: only these fields change",
    Access.MANAGED: "made and deleted by rollway",
}


def example(package: BackendPackage) -> Rollout:
    """Return the Rollout of the backend's example."""
    ((_, rollout),) = read_rollouts(DirectoryStore(ROOT / "examples" / "shop" / package.name))
    assert not isinstance(rollout, Exception)
    return rollout


def table(*rows: tuple[str, ...]) -> str:
    """Write a table; the first row is its header."""
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([lines[0], f"|{'---|' * len(rows[0])}", *lines[1:]]) + "\n"


def keys(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, ...]]:
    """Yield a row for each key of a schema: its path, its type, and whether it is needed."""
    for name, value in schema.get("properties", {}).items():
        inner, place = value, f"{path}{name}"
        if value.get("type") == "array":
            inner, place = value["items"], f"{place}[]"
        below = list(keys(inner, f"{place}."))
        if inner.get("type") != "object" or not below:
            needed = "yes" if name in schema.get("required", ()) else ""
            kind = "map of strings" if inner.get("type") == "object" else str(inner.get("type", "any"))
            yield f"`{place}`", kind, needed
        yield from below


def needed_object(need: Need) -> tuple[str, ...]:
    """Describe one need as a row: the object, what is done to it, and the fields."""
    which = f"{need.kind} `{need.name}`" if need.name else f"every {need.kind}"
    where = "" if need.required or need.access is Access.MANAGED else ", if it is there"
    touched = need.fields if need.access is Access.SHARED else need.own_keys
    return which + where, ACCESS[need.access], ", ".join(f"`{path}`" for path in touched)


def abilities(package: BackendPackage) -> str:
    """Write what the backend can do, as `rollway backends` shows it."""
    able = package.backend.capabilities
    return table(
        ("what", "here"),
        ("objects that carry the weights", able.objects),
        ("API versions", ", ".join(f"`{version}`" for version in able.versions)),
        ("total", f"{able.smallest_total} or more"),
        ("weights", "any" if able.partial_weights else "only 0 and the total"),
        (
            "header routes",
            ("yes" if able.weights_beside_header_routes else "at weight 0")
            if able.header_routes
            else "refused",
        ),
        ("mirror routes", "yes" if able.mirror_routes else "refused"),
    )


def evidence(package: BackendPackage) -> str:
    """Write how each level of evidence is reached."""
    loaded = "; ".join(f"`--{option.name}`: {option.help.rstrip('.')}" for option in package.addresses)
    return table(
        ("evidence", "from"),
        ("`written`", "the objects, read again after the write"),
        *(
            [("`accepted`", "the status that controllers write into the objects of a cluster")]
            * bool(package.status_probe)
        ),
        ("`loaded`", loaded or "no common way to ask a data plane"),
        ("`measured`", "requests to `--url`, counted by the version that answers"),
    )


def written(package: BackendPackage) -> str:
    """Write everything about a backend that the code itself shows."""
    rollout = example(package)
    places = " or ".join(f"`trafficRouting.{'.'.join(place)}`" for place in package.places)
    stanza = (
        f"{places}, with these keys:\n\n{table(('key', 'type', 'needed'), *keys(package.stanza.schema))}"
        if places
        else "None: it is for `blueGreen` without `trafficRouting`.\n"
    )
    objects = [needed_object(need) for need in package.backend.needs(rollout)]
    role = yaml.safe_dump(manifests(rollout), sort_keys=False)
    return "\n".join(
        (
            f"## Stanza\n\n{stanza}",
            f"## Objects\n\nFor the example in `examples/shop/{package.name}`:\n",
            table(("object", "access", "fields of ours"), *objects),
            "## Abilities\n",
            abilities(package),
            "## Evidence\n",
            evidence(package),
            f"## Rights\n\nWhat `rollway rbac shop` prints for the example:\n\n```yaml\n{role}```\n",
            "## Findings\n\n[findings.md](../findings.md) has them all, with what to do.\n",
            table(("code", "meaning"), *((f"`{entry.code}`", entry.meaning) for entry in package.findings)),
        )
    )


@pytest.mark.parametrize("package", builtin_packages(), ids=lambda package: package.name)
def test_the_page_of_a_backend_shows_what_the_code_does(package: BackendPackage) -> None:
    """Below its mark the page is what the code shows; above it somebody has described the backend in words."""
    page = ROOT / "docs" / "backends" / f"{package.name}.md"
    described, mark, _ = page.read_text().partition(MARK)
    if os.environ.get("ROLLWAY_GOLDEN") == "write":
        page.write_text(f"{described}{MARK}\n{written(package)}")
    assert mark
    assert described.startswith(f"# Backend `{package.name}`\n")
    for heading in ("## What it does", "## Limits", "## Tested with"):
        assert heading in described
    assert page.read_text() == f"{described}{mark}\n{written(package)}"


def test_every_page_has_its_backend() -> None:
    """No page is left over of a backend that is gone."""
    pages = {page.stem for page in (ROOT / "docs" / "backends").glob("*.md")}
    assert pages == {package.name for package in builtin_packages()}
