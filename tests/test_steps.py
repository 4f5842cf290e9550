"""The steps of a ramp: those of the manifest are read, refused by name, and gone on with from what is live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import manifests as m
from rollway.routers.errors import ManifestError, RefusedError, UnsupportedError
from rollway.routers.route_steps import RemoveRoute, SetRoute
from rollway.routers.steps import Pause, SetWeight, even_steps, remaining, steps_of
from rollway.routers.traffic import HeaderRoute, MirrorRoute, RequestMatch, StringMatch
from running import on_terminal, rollway

if TYPE_CHECKING:
    from pathlib import Path

    from rollway.routers.steps import Step


def manifest(*steps: Any) -> dict[str, Any]:
    """Return a Rollout with these steps and the managed routes `beta` and `copy`."""
    rollout = m.rollout({"smi": {}, "managedRoutes": [{"name": "beta"}, {"name": "copy"}]})
    rollout["spec"]["strategy"]["canary"]["steps"] = list(steps)
    return rollout


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"setWeight": 20}, SetWeight(20)),
        ({"setWeight": 0}, SetWeight(0)),
        ({"pause": {}}, Pause(None)),
        ({"pause": None}, Pause(None)),
        ({"pause": {"duration": 30}}, Pause(30.0)),
        ({"pause": {"duration": "30"}}, Pause(30.0)),
        ({"pause": {"duration": "10m"}}, Pause(600.0)),
        ({"pause": {"duration": "1h30m"}}, Pause(5400.0)),
    ],
)
def test_steps_are_read_as_argo_rollouts_reads_them(step: Any, expected: Step) -> None:
    """Weights are out of the total, a pause has a duration or no end."""
    assert steps_of(manifest(step), 100) == [expected]


@pytest.mark.parametrize(
    "step",
    [
        {"setWeight": 101},
        {"setWeight": "20"},
        {"setWeight": -1},
        {"setWeight": True},
        {"pause": {"duration": "soon"}},
        {"pause": {"duration": "-5s"}},
        {"pause": {"duration": -5}},
        {"pause": {"duration": True}},
    ],
)
def test_wrong_steps_are_faults_with_their_place(step: Any) -> None:
    """A weight out of range and a duration that cannot be read are faults."""
    with pytest.raises(ManifestError, match=r"spec\.strategy\.canary\.steps\[1\]: "):
        steps_of(manifest({"setWeight": 5}, step), 100)


def header(value: Any = None, name: Any = "X-Beta") -> dict[str, Any]:
    """Return one match of a header route."""
    return {"headerName": name, "headerValue": {"exact": "1"} if value is None else value}


BETA = SetRoute(HeaderRoute("beta", (RequestMatch((("X-Beta", StringMatch("exact", "1")),)),)))
SET_BETA = {"setHeaderRoute": {"name": "beta", "match": [header()]}}
REMOVE_BETA = {"setHeaderRoute": {"name": "beta"}}


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (SET_BETA, BETA),
        (
            {"setHeaderRoute": {"name": "beta", "match": [header({"regex": "1"}), header({"prefix": "2"})]}},
            SetRoute(
                HeaderRoute(
                    "beta",
                    (
                        RequestMatch((("X-Beta", StringMatch("regex", "1")),)),
                        RequestMatch((("X-Beta", StringMatch("prefix", "2")),)),
                    ),
                )
            ),
        ),
        (REMOVE_BETA, RemoveRoute("beta", "header")),
        ({"setHeaderRoute": {"name": "beta", "match": None}}, RemoveRoute("beta", "header")),
        ({"setMirrorRoute": {"name": "copy"}}, RemoveRoute("copy", "mirror")),
        ({"setMirrorRoute": {"name": "copy", "match": [{}]}}, SetRoute(MirrorRoute("copy"))),
        (
            {
                "setMirrorRoute": {
                    "name": "copy",
                    "percentage": 35,
                    "match": [
                        {
                            "method": {"exact": "GET", "prefix": ""},
                            "path": {"prefix": "/"},
                            "headers": {"X-A": {"exact": "1"}},
                        },
                        {"path": {"regex": "/a.*"}},
                    ],
                }
            },
            SetRoute(
                MirrorRoute(
                    "copy",
                    (
                        RequestMatch(
                            (("X-A", StringMatch("exact", "1")),),
                            StringMatch("prefix", "/"),
                            StringMatch("exact", "GET"),
                        ),
                        RequestMatch(path=StringMatch("regex", "/a.*")),
                    ),
                    35,
                )
            ),
        ),
    ],
)
def test_route_steps_are_read_as_argo_rollouts_reads_them(step: Any, expected: Step) -> None:
    """Any match of a list is enough, all conditions in one must hold, and no match removes the route."""
    assert steps_of(manifest(step), 100) == [expected]


@pytest.mark.parametrize(
    ("step", "faults"),
    [
        ({"setHeaderRoute": None}, ["setHeaderRoute: None is not an object"]),
        ({"setHeaderRoute": {}}, ["setHeaderRoute.name: is required"]),
        (
            {"setHeaderRoute": {"name": "other", "percentage": 5}},
            [
                "setHeaderRoute.percentage: unknown key",
                "setHeaderRoute.name: 'other' is not among the managedRoutes; add `- name: other` to spec.",
            ],
        ),
        ({"setHeaderRoute": {"name": "beta", "match": []}}, ["setHeaderRoute.match: is not a list"]),
        (
            {"setHeaderRoute": {"name": "beta", "match": ["a", {}, header({"exact": 1})]}},
            [
                "setHeaderRoute.match[0]: 'a' is not an object",
                "setHeaderRoute.match[1].headerName: is required",
                "setHeaderRoute.match[1].headerValue: has none of exact, prefix and regex: give one",
                "setHeaderRoute.match[2].headerValue.exact: 1 is not a text (put it in quotes)",
            ],
        ),
        (
            {
                "setHeaderRoute": {
                    "name": "beta",
                    "match": [header({"exact": "1", "prefix": "2"}), header("1")],
                }
            },
            [
                "setHeaderRoute.match[0].headerValue: has exact and prefix of exact, prefix and regex: give one",
                "setHeaderRoute.match[1].headerValue: '1' is not an object",
            ],
        ),
        (
            {"setMirrorRoute": {"name": "copy", "percentage": 101, "match": [{"headers": []}, {"paht": {}}]}},
            [
                "setMirrorRoute.percentage: 101 is not a whole number from 0 to 100",
                "setMirrorRoute.match[0].headers: is not an object",
                "setMirrorRoute.match[1].paht: unknown key; known: method, path, headers",
            ],
        ),
        (
            {"setMirrorRoute": {"name": "copy", "percentage": True}},
            ["setMirrorRoute.percentage: True is not a whole number"],
        ),
        (
            {
                "setMirrorRoute": {
                    "name": "copy",
                    "match": [{"headers": {"a": {"exact": "1"}, "A": {"exact": "2"}}}],
                }
            },
            ["setMirrorRoute.match: route 'copy': header 'a' has to stand once in a match"],
        ),
    ],
)
def test_faults_of_route_steps_are_reported_at_once(step: Any, faults: list[str]) -> None:
    """Every fault of a step has its place, and stands beside those of other steps."""
    with pytest.raises(ManifestError) as caught:
        steps_of(manifest(step, {"setWeight": 101}), 100)
    reported = [str(fault).removeprefix("spec.strategy.canary.steps[0].") for fault in caught.value.faults]
    assert len(reported) == len(faults) + 1
    assert all(text.startswith(fault) for text, fault in zip(reported, faults, strict=False)), reported


def test_other_steps_are_refused_by_name() -> None:
    """Each step that rollway does not do is named, all at once."""
    steps: tuple[Any, ...] = (
        {"setWeight": 5},
        {"analysis": {}},
        {"setHeaderRoute": {}, "setWeight": 5},
        {"setCanaryScale": {}},
        {},
    )
    with pytest.raises(UnsupportedError) as caught:
        steps_of(manifest(*steps), 100)
    assert [str(reason).rpartition(": ")[2] for reason in caught.value.reasons] == [
        "analysis",
        "setHeaderRoute, setWeight",
        "setCanaryScale",
        "an empty step",
    ]


def test_a_rollout_without_steps() -> None:
    """Without steps there is nothing to follow, which is an error."""
    for rollout in (m.rollout({"smi": {}}), manifest()):
        with pytest.raises(ManifestError, match="no steps to follow"):
            steps_of(rollout, 100)


STEPS: list[Step] = [SetWeight(20), Pause(None), SetWeight(40), Pause(60.0), Pause(None), SetWeight(60)]


@pytest.mark.parametrize(
    ("live", "resume", "expected"),
    [
        (0, False, STEPS),
        (0, True, STEPS),
        (20, False, STEPS),
        (20, True, [STEPS[0], *STEPS[2:]]),
        (40, False, STEPS[2:]),
        (40, True, [STEPS[2], STEPS[5]]),
        (60, False, STEPS[5:]),
        (60, True, STEPS[5:]),
    ],
)
def test_steps_go_on_from_what_is_live(live: int, resume: bool, expected: list[Step]) -> None:
    """The step that set the live weight is done again, which writes nothing; with resume its pauses are over."""
    assert remaining(STEPS, live, 100, resume=resume) == expected


def test_a_pause_before_the_first_weight() -> None:
    """Steps may begin with a pause, which resume ends as well."""
    steps: list[Step] = [Pause(None), SetWeight(20)]
    assert remaining(steps, 0, 100) == steps
    assert remaining(steps, 0, 100, resume=True) == steps[1:]


REMOVED = RemoveRoute("beta", "header")


@pytest.mark.parametrize(
    ("steps", "live", "routes", "expected"),
    [
        ([BETA, Pause(None), SetWeight(20)], 0, [BETA.route], [SetWeight(20)]),
        ([BETA, Pause(None), SetWeight(20)], 0, [], [BETA, Pause(None), SetWeight(20)]),
        ([BETA, SetWeight(20), Pause(None), REMOVED], 20, [BETA.route], [SetWeight(20), REMOVED]),
        ([SetWeight(20), BETA, Pause(None), REMOVED], 20, [BETA.route], [SetWeight(20), REMOVED]),
        (
            [SetWeight(20), Pause(None), BETA, Pause(None), SetWeight(40)],
            20,
            [],
            [SetWeight(20), BETA, Pause(None), SetWeight(40)],
        ),
        (
            [SetWeight(20), Pause(None), BETA, Pause(None), SetWeight(40)],
            20,
            [BETA.route, MirrorRoute("copy")],
            [SetWeight(20), SetWeight(40)],
        ),
        (
            [BETA, SetWeight(20), REMOVED, Pause(None), SetWeight(40)],
            20,
            [],
            [SetWeight(20), SetWeight(40)],
        ),
        # Somebody removed the route meanwhile: the pause behind the weight is over, as without routes.
        ([BETA, SetWeight(20), Pause(None), SetWeight(40)], 20, [], [SetWeight(20), SetWeight(40)]),
    ],
)
def test_resume_goes_on_behind_the_pause_that_fits_the_live_routes(
    steps: list[Step], live: int, routes: list[Any], expected: list[Step]
) -> None:
    """Route steps before that pause are live already, those behind it come; routes of no step do not matter."""
    assert remaining(steps, live, 100, routes=routes, resume=True) == expected


def test_a_weight_that_no_step_sets_is_refused() -> None:
    """Where it stands is not guessed."""
    with pytest.raises(RefusedError, match=r"has 30 of 100, which none of the steps sets \(20, 40, 60\)"):
        remaining(STEPS, 30, 100)


ANY_STEPS = st.lists(
    st.builds(SetWeight, st.integers(0, 100)) | st.builds(Pause, st.none() | st.just(5.0)), min_size=1
)


@given(steps=ANY_STEPS, data=st.data(), resume=st.booleans())
def test_what_remains_is_the_end_of_the_steps(steps: list[Step], data: st.DataObject, resume: bool) -> None:
    """From any live weight that a step sets, no later weight is left out, and none is added."""
    set_weights = [step.weight for step in steps if isinstance(step, SetWeight)]
    live = data.draw(st.sampled_from([0, *set_weights]))
    coming = remaining(steps, live, 100, resume=resume)
    weights = [step.weight for step in coming if isinstance(step, SetWeight)]
    assert set_weights[len(set_weights) - len(weights) :] == weights
    if live:
        assert weights[0] == live
    if not resume:
        assert steps[len(steps) - len(coming) :] == coming


@given(st.lists(st.integers(0, 100), min_size=1), st.floats(0, 100))
def test_even_steps_pause_between_weights(weights: list[int], every: float) -> None:
    """There is a pause between two weights, and none behind the last."""
    steps = even_steps(weights, every)
    assert [step.weight for step in steps[::2] if isinstance(step, SetWeight)] == weights
    assert steps[1::2] == [Pause(every)] * (len(weights) - 1)


# -- the command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a Rollout that pauses twice."""
    steps: tuple[Any, ...] = (
        {"setWeight": 20},
        {"pause": {"duration": "0s"}},
        {"setWeight": 40},
        {"pause": {}},
        {"setWeight": 60},
    )
    objects = [manifest(*steps), m.service("shop-stable"), m.service("shop-canary")]
    (tmp_path / "app.yaml").write_text(yaml.safe_dump_all(objects))
    return tmp_path


def test_a_ramp_follows_the_steps_of_the_manifest(folder: Path) -> None:
    """A pause without an end ends the ramp with exit code 3 where nobody can be asked; --resume goes on behind it."""
    where = ("--dir", str(folder))
    first = rollway("ramp", "shop", "--steps", *where)
    assert (first.code, "stands at 40 of 100" in first.stderr) == (3, True)
    assert "rollway ramp shop --steps --resume" in first.stderr
    assert first.stdout.count("verified: written") == 2
    again = rollway("ramp", "shop", "--steps", *where)
    assert (again.code, "canary 40 of 100, 40 %; nothing to change" in again.stdout) == (3, True)
    last = rollway("ramp", "shop", "--steps", "--resume", *where)
    assert (last.code, "canary 60 of 100, 60 %" in last.stdout) == (0, True)
    assert rollway("verify", "shop", "60", *where).code == 0


@pytest.fixture
def routed(tmp_path: Path) -> Path:
    """Return a folder with a Rollout of Istio that shows testers the canary before it moves any weight."""
    rollout = manifest(
        SET_BETA, {"pause": {}}, {"setWeight": 20}, REMOVE_BETA, {"pause": {}}, {"setWeight": 40}
    )
    routing = rollout["spec"]["strategy"]["canary"]["trafficRouting"]
    del routing["smi"]
    routing["istio"] = {"virtualService": {"name": "web"}}
    objects = [rollout, m.virtual_service(), m.service("shop-stable"), m.service("shop-canary")]
    (tmp_path / "app.yaml").write_text(yaml.safe_dump_all(objects))
    return tmp_path


def test_a_ramp_sets_and_removes_the_routes_of_its_steps(routed: Path) -> None:
    """Each route step is one line; a resume begins behind the pause that the live routes belong to."""
    where = ("--dir", str(routed))
    first = rollway("ramp", "shop", "--steps", *where)
    assert (first.code, "default/shop: set header route beta (X-Beta: 1)\n" in first.stdout) == (3, True), (
        first
    )
    assert "header route beta" in rollway("status", "shop", "-o", "wide", *where).stdout
    second = rollway("ramp", "shop", "--steps", "--resume", *where)
    assert (second.code, "stands at 20 of 100" in second.stderr) == (3, True), second
    assert "default/shop: remove header route beta\n" in second.stdout
    last = rollway("ramp", "shop", "--steps", "--resume", "-o", "json", *where)
    assert (last.code, '"headerRoutes": []' in last.stdout) == (0, True), last
    assert rollway("verify", "shop", "40", *where).code == 0


def test_routes_that_the_backend_lacks_are_refused_before_anything_moves(folder: Path) -> None:
    """A route step beside a weight that has no room for it is refused with the backend's name before the first weight is set."""
    rollout, *others = yaml.safe_load_all((folder / "app.yaml").read_text())
    rollout["spec"]["strategy"]["canary"]["steps"].append(SET_BETA)
    (folder / "app.yaml").write_text(yaml.safe_dump_all([rollout, *others]))
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    ran = rollway("ramp", "shop", "--steps", "--dir", str(folder))
    assert (ran.code, "backend smi cannot do a weight beside header routes" in ran.stderr) == (4, True), ran
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_steps_of_a_rollout_in_a_file(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """With -f the steps are those of the file."""
    file = tmp_path_factory.mktemp("other") / "rollout.yaml"
    file.write_text(yaml.safe_dump(manifest({"setWeight": 7})))
    ran = rollway("ramp", "shop", "--steps", "-f", str(file), "--dir", str(folder))
    assert (ran.code, "canary 7 of 100" in ran.stdout) == (0, True)


def test_steps_that_are_not_done_are_refused_before_anything_moves(folder: Path) -> None:
    """An unknown step behind known ones is refused before the first weight is set."""
    text = (folder / "app.yaml").read_text()
    (folder / "app.yaml").write_text(
        text.replace("      - pause: {}\n", "      - pause: {}\n      - analysis: {}\n")
    )
    before = (folder / "app.yaml").read_text()
    assert "analysis" in before
    ran = rollway("ramp", "shop", "--steps", "--dir", str(folder))
    assert (ran.code, "steps[4]: analysis" in ran.stderr) == (4, True)
    assert (folder / "app.yaml").read_text() == before


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "give FROM..TO with --step and --every, or --steps"),
        (("0..20", "--steps"), "give FROM..TO with --step and --every, or --steps"),
        (("--steps", "--every", "5s"), "--steps has its own"),
        (("0..20", "--step", "5"), "FROM..TO needs --every"),
        (("0..20", "--step", "5", "--every", "0", "--resume"), "--resume is for --steps"),
        (("--steps", "--max-error-rate", "1%"), "needs --url or --prometheus"),
        (("--steps", "--max-error-rate", "1", "--url", "http://x", "--identify", "header:x"), "no share"),
        (
            (
                "--steps",
                "--max-error-rate",
                "1%",
                "--url",
                "http://x",
                "--identify",
                "header:x",
                "--min-requests",
                "0",
            ),
            "give at least 1",
        ),
        (
            (
                "--steps",
                "--max-error-rate",
                "1%",
                "--url",
                "http://x",
                "--identify",
                "header:x",
                "--verify",
                "measured",
            ),
            "allows no failed request",
        ),
    ],
)
def test_words_that_do_not_go_together(words: tuple[str, ...], text: str, folder: Path) -> None:
    """Each is a usage error, before anything is written."""
    before = (folder / "app.yaml").read_bytes()
    ran = rollway("ramp", "shop", *words, "--dir", str(folder))
    assert (ran.code, text in ran.stderr) == (2, True), ran
    assert (folder / "app.yaml").read_bytes() == before


@pytest.mark.parametrize(("answer", "code", "weight"), [("go", 0, "60"), ("stay", 3, "40"), ("back", 0, "0")])
def test_a_pause_without_an_end_is_asked_about_on_a_terminal(
    answer: str, code: int, weight: str, folder: Path
) -> None:
    """The person at the terminal decides whether it continues, stays, or goes back to stable."""
    ended, written = on_terminal("ramp", "shop", "--steps", "--dir", str(folder), typed=f"{answer}\n")
    assert (ended, "stands at 40 of 100, at a pause without an end" in written) == (code, True), written
    assert rollway("verify", "shop", weight, "--dir", str(folder)).code == 0
