"""Header and mirror routes on the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

import manifests as m
from running import rollway, schema

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [{"name": name} for name in ("beta", "preview")]
BETA = ("header-route", "shop", "set", "beta", "--header", "X-Beta: 1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a Rollout that has header routes, but no mirror routes."""
    routing = {"managedRoutes": NAMES, "nginx": {"stableIngress": "web"}}
    objects = [m.rollout(routing), m.ingress(), m.service("shop-stable"), m.service("shop-canary")]
    (tmp_path / "app.yaml").write_text(yaml.safe_dump_all(objects))
    return tmp_path


def test_a_header_route_is_set_shown_and_removed(folder: Path) -> None:
    """Weights keep it, status, plan and verify show it, the same call twice changes nothing, and it can be removed."""
    where = ("--dir", str(folder))
    assert rollway("set-weight", "shop", "10", *where).code == 0
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    done = rollway(*BETA, *where)
    assert (done.code, "canary 10 of 100, 10 %\n  with header route beta (X-Beta: 1)" in done.stdout) == (
        0,
        True,
    ), done
    assert "nothing to change" in rollway(*BETA, *where).stdout
    for words in (("status", "shop"), ("status",), ("verify", "shop", "10")):
        assert "Rollout default/shop: header route beta (X-Beta: 1)" in rollway(*words, *where).stdout
    assert "  with header route beta" in rollway("plan", "shop", "20", *where).stdout
    assert "- with header route beta" in rollway("plan", "shop", "20", *where, "-o", "markdown").stdout
    assert "canary-by-header-value: '1'" in rollway("render", "shop", "20", *where).stdout.replace('"', "'")
    assert rollway("header-route", "shop", "remove", "beta", *where).code == 0
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert "nothing to change" in rollway("header-route", "shop", "remove", "--all", *where).stdout


def test_documents_have_the_routes(folder: Path) -> None:
    """Every document that has a traffic has its routes, in the words of Argo Rollouts."""
    where = ("--dir", str(folder), "-o", "json")
    result = json.loads(rollway(*BETA, *where).stdout)
    schema("result", result)
    route = {"name": "beta", "match": [{"headers": {"X-Beta": {"exact": "1"}}}]}
    assert (result["wanted"]["headerRoutes"], result["wanted"]["mirrorRoutes"]) == ([route], [])
    for name, words in (
        ("plan", ("plan", "shop", "0")),
        ("plan", ("plan", "shop", "5")),
        ("status", ("status", "shop")),
        ("verdict", ("verify", "shop")),
    ):
        document = json.loads(rollway(*words, *where).stdout)
        schema(name, document)
        assert json.dumps(route) in json.dumps(document)


def test_a_preview_header_shows_the_canary_before_the_switch(folder: Path) -> None:
    """No weight moves with it; the plain switch sends all traffic there and removes the route."""
    where = ("--dir", str(folder))
    preview = ("switch", "shop", "canary", "--preview-header", "X-Preview: yes")
    shown = rollway(*preview, *where)
    assert "canary 0 of 100, 0 %\n  with header route preview (X-Preview: yes)" in shown.stdout
    switched = rollway("switch", "shop", "canary", *where)
    assert (switched.code, "canary 100 of 100" in switched.stdout, "preview" in switched.stdout) == (
        0,
        True,
        False,
    )
    assert "header route" not in rollway("status", "shop", *where).stdout
    named = rollway(*preview, "--preview-route", "beta", *where)
    assert "with header route beta (X-Preview: yes)" in named.stdout
    assert "header route" not in rollway("switch", "shop", "stable", *where).stdout


def test_a_route_that_is_refused_writes_nothing(folder: Path) -> None:
    """A name that is not in managedRoutes, and what the backend lacks, have exit code 4 and the remedy."""
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    where = ("--dir", str(folder))
    for words, text in (
        (("header-route", "shop", "set", "x", "--header", "a: b"), "add `- name: x` to"),
        (("header-route", "shop", "remove", "x"), "add `- name: x` to"),
        (("mirror-route", "shop", "set", "beta", "--percentage", "10"), "cannot do mirror routes"),
        (("switch", "shop", "canary", "--preview-header", "a: b", "--preview-route", "x"), "managedRoutes"),
    ):
        ran = rollway(*words, *where)
        assert (ran.code, text in ran.stderr) == (4, True), ran
    assert rollway("mirror-route", "shop", "remove", "beta", *where).code == 0
    dry = rollway(*BETA, "--dry-run", *where)
    assert (dry.code, "  with header route beta" in dry.stdout) == (0, True)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("header-route", "shop", "set", "beta"), "set needs --header"),
        (("header-route", "shop", "set", "beta", "--path", "/"), "set needs --header"),
        (("header-route", "shop", "set", "--header", "a: b"), "set needs the name of one ROUTE"),
        (("header-route", "shop", "set", "beta", "--all", "--header", "a: b"), "set needs the name"),
        (("header-route", "shop", "set", "beta", "--header", "nothing"), "is no header"),
        (("header-route", "shop", "set", "beta", "--header", "a:"), "is no header"),
        (("header-route", "shop", "remove"), "remove needs the name of one ROUTE, or --all"),
        (("header-route", "shop", "remove", "beta", "--all"), "remove needs the name"),
        (("header-route", "shop", "remove", "beta", "--header", "a: b"), "are for set"),
        (("mirror-route", "shop", "remove", "beta", "--percentage", "5"), "--percentage is for set"),
        (("mirror-route", "shop", "set", "beta", "--path", "/", "--path-prefix", "/"), "give one of --path"),
        (("mirror-route", "shop", "set", "beta", "--percentage", "101"), "0<=x<=100"),
        (
            ("header-route", "shop", "set", "beta", "--header", "a: b", "--header", "A: c"),
            "has to stand once",
        ),
        (("switch", "shop", "stable", "--preview-header", "a: b"), "stable is served already"),
    ],
)
def test_words_that_do_not_go_together(words: tuple[str, ...], text: str, folder: Path) -> None:
    """Each is an error with exit code 2."""
    ran = rollway(*words, "--dir", str(folder))
    assert (ran.code, text in ran.stderr) == (2, True), ran
