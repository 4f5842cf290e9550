"""After weights and a reset, a directory of manifests is what it was, byte by byte."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import manifests as m
from rollway.routers.errors import UnwritableError
from rollway.routers.lookup import read_rollout
from rollway.routers.planning import needs_of
from rollway.routers.roles import known_roles
from rollway.routers.router import TrafficRouter
from rollway.routers.stores.directory import DirectoryStore
from rollway.routers.traffic import Traffic
from rollway.routers.weights import Split

ROUTING = {"istio": {"virtualService": {"name": "web"}}}
TCP = {"istio": {"virtualService": {"name": "web", "tcpRoutes": [{"port": 1}]}}}
HEAD = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web, namespace: default}\n"

ROUTES = {
    "absent weight of the canary": """\
        spec:
          http:
          - route:
            - destination: {host: shop-stable}
              weight: 100
            - destination: {host: shop-canary}
        """,
    "a sum of 1": """\
        spec:
          http:
          - route:
            - destination:
                host: shop-stable
              weight: 1 # all
            - destination:
                host: shop-canary
              weight: 0
        """,
    "no weight at all but one": """\
        spec: {http: [{route: [{destination: {host: shop-stable}, weight: 1}, {destination: {host: shop-canary}}]}]}
        """,
    "the anchor is ours": """\
        spec:
          tcp:
          - match: [{port: 1}]
            route: &both
            - {destination: {host: shop-stable}, weight: 100}
            - {destination: {host: shop-canary}, weight: 0}
          - match: [{port: 2}]
            route: *both
        """,
    "the alias is ours": """\
        spec:
          tcp:
          - match: [{port: 2}]
            route: &both
            - {destination: {host: shop-stable}, weight: 1}
            - {destination: {host: shop-canary}}
          - match: [{port: 1}]
            route: *both # the same
        """,
}


def router(path: Path) -> TrafficRouter:
    """Return the router of the shop in a directory or a file."""
    store = DirectoryStore(path)
    return TrafficRouter(read_rollout(store, "shop"), store)


def round_trip(path: Path, weights: list[int]) -> None:
    """Set weights one after the other, and see that each of them is there; then reset."""
    for weight in weights:
        router(path).set_weight(weight)
        assert router(path).observe().traffic == Traffic(Split(weight))
    router(path).reset()


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize("end", ["", "\n", "\n# the end\n", "\n---\nmore: 1"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("weights", [[30], [30, 0, 60], [1, 99]])
def test_what_was_there_is_there_again(
    tmp_path: Path, name: str, end: str, newline: str, weights: list[int]
) -> None:
    """An absent weight, a sum that holds no share and an alias come back with the reset, and no comment stays."""
    (tmp_path / "rollout.yaml").write_text(yaml.safe_dump(m.rollout(TCP if "ours" in name else ROUTING)))
    text = HEAD + textwrap.dedent(ROUTES[name]).rstrip("\n") + end
    before = text.replace("\n", newline).encode()
    file = tmp_path / "web.yaml"
    file.write_bytes(before)
    round_trip(tmp_path, weights)
    assert file.read_bytes() == before


def test_what_a_reset_cannot_find_out_is_remembered_in_one_comment(tmp_path: Path) -> None:
    """The comment names the object and what it had; a text that needs none gets none."""
    (tmp_path / "rollout.yaml").write_text(yaml.safe_dump(m.rollout(ROUTING)))
    file = tmp_path / "web.yaml"
    file.write_text(HEAD + textwrap.dedent(ROUTES["absent weight of the canary"]))
    router(tmp_path).set_weight(30)
    remembered = {"values": {"/spec/http/0/route/0/weight": [100], "/spec/http/0/route/1/weight": []}}
    last = file.read_text().splitlines()[-1]
    assert last == f"# rollway: VirtualService default/web had before: {json.dumps(remembered)}"
    file.write_text(yaml.safe_dump(m.virtual_service()))
    router(tmp_path).set_weight(30)
    assert "#" not in file.read_text()


@pytest.mark.parametrize(
    "memory",
    ["{", "[]", '{"values": 5}', '{"values": {"/spec/http/7/x": [1]}}', '{"values": {"/kind/x": []}}'],
)
def test_a_memory_that_is_broken_is_none(tmp_path: Path, memory: str) -> None:
    """A comment that somebody has edited changes no weight."""
    (tmp_path / "rollout.yaml").write_text(yaml.safe_dump(m.rollout(ROUTING)))
    file = tmp_path / "web.yaml"
    text = yaml.safe_dump(m.virtual_service())
    file.write_text(f"{text}# rollway: VirtualService default/web had before: {memory}\n")
    round_trip(tmp_path, [30])
    assert yaml.safe_load(file.read_text()) == m.virtual_service()


def test_json_is_as_it_was_where_it_names_both_weights(tmp_path: Path) -> None:
    """A JSON file holds no comment; two weights out of 100 come back without one."""
    (tmp_path / "rollout.yaml").write_text(yaml.safe_dump(m.rollout(ROUTING)))
    file = tmp_path / "web.json"
    file.write_text(json.dumps(m.virtual_service(), indent="\t"))
    before = file.read_bytes()
    round_trip(tmp_path, [30, 5])
    assert file.read_bytes() == before


@st.composite
def json_texts(draw: st.DrawFn) -> str:
    """Write a VirtualService that leaves out a weight or has a sum of 1, alone or in a List, in one of many styles."""
    stable, canary = draw(st.sampled_from([(1, None), (100, None), (1, 0), (100, 0), (10, 0)]))
    entries = [m.destination("shop-stable", stable), m.destination("shop-canary", canary)]
    web = m.virtual_service(http=[{"name": "a\u00e9\U0001f600/~", "route": entries}])
    annotations = draw(st.sampled_from([None, {}, {"team": "web"}, {"a/~b": "\u2028", "c": "d"}]))
    if annotations is not None:
        web["metadata"]["annotations"] = annotations
    if draw(st.booleans()):
        web["metadata"] = dict(reversed(web["metadata"].items()))
    other = m.virtual_service("other")
    document = draw(
        st.sampled_from([web, {"apiVersion": "v1", "kind": "List", "items": [other, web, m.service("x")]}])
    )
    separators = draw(st.sampled_from([None, (",", ":"), (" , ", " : ")]))
    indent = draw(st.sampled_from([None, 0, 2, "\t"]))
    text = json.dumps(document, indent=indent, separators=separators, ensure_ascii=draw(st.booleans()))
    return text.replace("{}", draw(st.sampled_from(["{}", "{ }"]))) + draw(
        st.sampled_from(["", "\n", " \n\n"])
    )


@pytest.mark.uncovered
@given(text=json_texts(), weights=st.lists(st.integers(0, 100), min_size=1, max_size=3), crlf=st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_json_is_as_it_was(text: str, weights: list[int], *, crlf: bool) -> None:
    """JSON has no comments: an annotation that no backend sees holds what the reset puts back, byte by byte."""
    with TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "rollout.yaml").write_text(yaml.safe_dump(m.rollout(ROUTING)))
        before = (text.replace("\n", "\r\n") if crlf else text).encode("utf-8", "surrogatepass")
        (path / "web.json").write_bytes(before)
        round_trip(path, weights)
        assert (path / "web.json").read_bytes() == before


def test_a_text_in_another_spelling_comes_back_in_json(tmp_path: Path) -> None:
    """A Service whose hash is written with escapes has the same spelling after a switch there and back."""
    services = [m.selecting("shop-stable", "5d8f7"), m.selecting("shop-canary", "7c9b4")]
    (tmp_path / "rollout.yaml").write_text(yaml.safe_dump(m.switched()))
    file = tmp_path / "services.json"
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": services})
    file.write_text(text.replace("5d8f7", "\\u0035d8f7"))
    before = file.read_bytes()
    store = DirectoryStore(tmp_path)
    shop = TrafficRouter(known_roles(read_rollout(store, "shop"), store), store)
    shop.switch("canary")
    assert file.read_bytes() != before
    shop.reset()
    assert file.read_bytes() == before


def json_shop(path: Path, **metadata: Any) -> Path:
    """Write a VirtualService without a weight of the canary as JSON, and return its file."""
    (path / "rollout.yaml").write_text(yaml.safe_dump(m.rollout(ROUTING)))
    absent = m.virtual_service()
    del absent["spec"]["http"][0]["route"][1]["weight"]
    absent["metadata"] |= metadata
    (path / "web.json").write_text(json.dumps(absent, indent=2))
    return path / "web.json"


def test_the_annotation_is_there_until_the_reset_and_nobody_sees_it(tmp_path: Path) -> None:
    """A file has it only while there is something to remember; the object that is read, and its version, do not have it."""
    file = json_shop(tmp_path)
    before = file.read_bytes()
    shop = router(tmp_path)
    shop.set_weight(30)
    values = {"/spec/http/0/route/0/weight": [100], "/spec/http/0/route/1/weight": []}
    remembered = {"values": values, "made": True}
    annotations = json.loads(file.read_text())["metadata"]["annotations"]
    assert {key: json.loads(value) for key, value in annotations.items()} == {
        "rollway.dev/had-before": remembered
    }
    (web,) = shop.observe(check=True).readings
    assert web.traffic == Traffic(Split(30))
    live = shop.store.read(needs_of(shop.rollout))
    assert "annotations" not in live[web.ref].manifest["metadata"]
    assert shop.plan(30) is None
    assert not shop.set_weight(30).changed
    shop.set_weight(0)
    shop.reset()
    assert file.read_bytes() == before


def test_an_annotation_that_comes_meanwhile_stays(tmp_path: Path) -> None:
    """What somebody adds beside ours, or makes of the style of the file, is there after the reset as well."""
    file = json_shop(tmp_path)
    router(tmp_path).set_weight(30)
    edited = json.loads(file.read_text())
    edited["metadata"]["annotations"]["team"] = "web"
    file.write_text(json.dumps(edited, indent=4))
    round_trip(tmp_path, [40])
    after = json.loads(file.read_text())
    assert after["metadata"]["annotations"] == {"team": "web"}
    assert "weight" not in after["spec"]["http"][0]["route"][1]


@pytest.mark.parametrize("memory", ["{", "[]", '{"values": 5}', 5])
def test_an_annotation_that_is_broken_is_one_of_somebody_else(tmp_path: Path, memory: Any) -> None:
    """It changes no weight, and stays."""
    file = json_shop(tmp_path, annotations={"rollway.dev/had-before": memory})
    round_trip(tmp_path, [30])
    assert json.loads(file.read_text())["metadata"]["annotations"] == {"rollway.dev/had-before": memory}


def test_json_that_no_edit_can_take_is_read_as_it_is(tmp_path: Path) -> None:
    """Where libyaml cannot tell the places of a text, an annotation in it is one of somebody else."""
    long = {"k" * 2000: "x", "rollway.dev/had-before": '{"values": {"/spec/http/0/route/1/weight": [7]}}'}
    file = json_shop(tmp_path, annotations=long)
    text = file.read_bytes()
    assert router(tmp_path).observe().traffic == Traffic(Split(0))
    with pytest.raises(UnwritableError):
        router(tmp_path).set_weight(30)
    assert file.read_bytes() == text


def test_a_list_in_json_keeps_what_it_remembers_of_others(tmp_path: Path) -> None:
    """An object of ours that comes and goes in the same file leaves the memory of another one alone."""
    file = json_shop(tmp_path)
    items = [json.loads(file.read_text()), m.traffic_split("v1alpha3", shop_stable=100, shop_canary=0)]
    items[1]["metadata"]["annotations"] = {"rollway.dev/rollout": "shop"}
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1))
    (tmp_path / "rollout.yaml").write_text(yaml.safe_dump(m.rollout({**ROUTING, "smi": {}})))
    round_trip(tmp_path, [30, 20])
    assert json.loads(file.read_text())["items"] == items[:1]


COMMENTS = st.sampled_from(["", " # c", "\t# one\tby one", "  "])
STABLE = st.sampled_from(["1", "100", "10", "1000"])
CANARY = st.sampled_from([None, "0", "00", "0x0", "~"])


@st.composite
def documents(draw: Any) -> str:
    """Write a VirtualService with one route of ours among others, in one of many styles."""
    pad = " " * draw(st.integers(0, 4))
    stable, canary = draw(STABLE), draw(CANARY)
    weight = "" if canary is None else f", weight: {canary}"
    if draw(st.booleans()):
        route = (
            f"    - route: [{{destination: {{host: shop-stable}}, weight: {stable}}}, "
            f"{{destination: {{host: shop-canary}}{weight}}}]{draw(COMMENTS)}\n"
        )
    else:
        below = [] if canary is None else [f"      {pad}  weight: {canary}{draw(COMMENTS)}"]
        lines = [
            f"    - route:{draw(COMMENTS)}",
            f"      {pad}- destination:",
            f"      {pad}    host: shop-stable{draw(COMMENTS)}",
            f"      {pad}  weight: {stable}{draw(COMMENTS)}",
            f"      {pad}- destination: {{host: shop-canary}}{draw(COMMENTS)}",
            *below,
        ]
        route = "\n".join(lines) + "\n"
    other = "    - name: other\n      route: [{destination: {host: x}}]\n"
    around = draw(st.tuples(st.booleans(), st.booleans()))
    routes = f"{other if around[0] else ''}{route}{other if around[1] else ''}"
    text = f"{draw(st.sampled_from(['', '# top', '---']))}\n{HEAD}spec:\n  http:\n{routes}"
    last = draw(
        st.sampled_from(
            ["", "# end\n", "  gateways:\n    - |\n      a\n\n", "...\n", "---\nb: 1\n", "--- # none\n"]
        )
    )
    text += last
    # A block scalar without a line end at the end of the text leaves no place for a comment.
    return str(text) if "|" in last or draw(st.booleans()) else text.rstrip("\n")


@pytest.mark.uncovered
@given(text=documents(), weights=st.lists(st.integers(0, 100), min_size=1, max_size=3), crlf=st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_style_is_as_it_was(text: str, weights: list[int], *, crlf: bool) -> None:
    """Whatever the style of the file, and whatever weights there were in between, the reset gives its bytes again."""
    with TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "rollout.yaml").write_text(yaml.safe_dump(m.rollout(ROUTING)))
        before = (text.replace("\n", "\r\n") if crlf else text).encode()
        (path / "web.yaml").write_bytes(before)
        round_trip(path, weights)
        assert (path / "web.yaml").read_bytes() == before


TEXTS = st.sampled_from(["", "\n", "# end\n", "\n\n", "---\n", "...\n", "x: |\n  a\n\n", "---\nkind: x\n# c"])


@pytest.mark.uncovered
@given(end=TEXTS, final=st.booleans(), weights=st.lists(st.integers(1, 99), min_size=1, max_size=2))
@settings(max_examples=60, deadline=None)
def test_a_file_is_as_it_was_before_a_document_of_ours(end: str, weights: list[int], *, final: bool) -> None:
    """A store of one file loses our document again, and ends as it did."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "app.yaml")
        text = yaml.safe_dump_all([m.rollout({"smi": {}}), m.service("shop-stable")]) + end
        file.write_text(text if final else text.rstrip("\n"))
        before = file.read_bytes()
        if before.endswith(b"|\n  a"):
            with pytest.raises(UnwritableError, match="would change the last value"):
                router(file).plan(10)
            return
        round_trip(file, weights)
        assert file.read_bytes() == before


LISTS = st.lists(
    st.sampled_from(["  - {}", "- {}", "- ./{}", "  - {} # c", "- '{}'"]), min_size=1, max_size=1
)


@pytest.mark.uncovered
@given(
    style=LISTS,
    others=st.lists(st.sampled_from(["a.yaml", "../b", "c.yaml"]), unique=True),
    last=st.booleans(),
    end=st.sampled_from(["", "\n", "\nnamespace: default\n", "\n# end"]),
)
@settings(max_examples=60, deadline=None)
def test_a_kustomization_is_as_it_was(style: list[str], others: list[str], end: str, *, last: bool) -> None:
    """The list that got our file has the same bytes again without it."""
    with TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "rollout.yaml").write_text(yaml.safe_dump(m.rollout({"nginx": {"stableIngress": "web"}})))
        (path / "web.yaml").write_text(yaml.safe_dump(m.ingress()))
        names = [*others, "web.yaml"] if last else ["web.yaml", *others]
        text = "resources:\n" + "\n".join(style[0].format(name) for name in names) + end
        (path / "kustomization.yaml").write_text(text)
        round_trip(path, [20])
        assert (path / "kustomization.yaml").read_text() == text
        assert len(list(path.iterdir())) == 3
