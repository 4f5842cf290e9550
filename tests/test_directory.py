"""The directory store: what it reads, what it refuses, and that its writes lose nothing."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import manifests as m
from rollway.routers.errors import (
    ConflictError,
    DuplicateObjectError,
    NotFoundError,
    RefusedError,
    StoreError,
    UnwritableError,
)
from rollway.routers.findings import Severity
from rollway.routers.guards import Limits
from rollway.routers.lookup import read_rollout, read_rollouts
from rollway.routers.model import Rollout
from rollway.routers.objects import Need, ObjectRef
from rollway.routers.plan import Action, Change
from rollway.routers.router import TrafficRouter
from rollway.routers.stores import files, yaml_text
from rollway.routers.stores.directory import DirectoryStore
from rollway.routers.traffic import Evidence, Outcome, Traffic
from rollway.routers.weights import Split

ISTIO = {"istio": {"virtualService": {"name": "web"}}}
NGINX = {"nginx": {"stableIngress": "web"}}
SMI: dict[str, Any] = {"smi": {}}
SECOND_CANARY = m.ingress(
    "other-canary",
    "shop.example.com",
    m.path("other-canary"),
    metadata={
        "annotations": {
            "nginx.ingress.kubernetes.io/canary": "true",
            "nginx.ingress.kubernetes.io/canary-weight": "5",
        }
    },
)


def write(folder: Path, **manifests: Any) -> None:
    """Write manifests to files, `_` for `.` in the names; text as it is, lists as documents."""
    for name, content in manifests.items():
        text = (
            content
            if isinstance(content, str)
            else yaml.safe_dump_all(content if isinstance(content, list) else [content])
        )
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def contents(folder: Path) -> dict[Path, bytes]:
    """Return the content of every file under a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def router(folder: Path, namespace: str = "default") -> TrafficRouter:
    """Return the router of the Rollout shop in a folder."""
    store = DirectoryStore(folder, namespace)
    return TrafficRouter(read_rollout(store, "shop"), store)


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """A store needs an existing path."""
    with pytest.raises(StoreError, match="does not exist"):
        DirectoryStore(tmp_path / "nothing")


def test_files_of_every_form_are_read(tmp_path: Path) -> None:
    """YAML, JSON, nested folders, several documents and Lists are read; hidden folders are not."""
    listed = {"apiVersion": "v1", "kind": "List", "items": [m.ingress(), m.service("shop-stable")]}
    write(tmp_path, rollout_yml=m.rollout(NGINX), a__b__list_yaml=listed, _git__x_yaml=m.ingress())
    (tmp_path / "service.json").write_text(
        '{"apiVersion":"v1","kind":"Service","metadata":{"name":"shop-canary"},"spec":{"ports":[{"port":80}]}}'
    )
    store = DirectoryStore(tmp_path)
    live = store.read([Need("", "Service"), Need("networking.k8s.io", "Ingress")])
    assert {ref.name for ref in live} == {"web", "shop-stable", "shop-canary"}
    assert router(tmp_path).set_weight(10).verdict is not None


@pytest.mark.parametrize(
    "text",
    [
        "# head\n\nMANIFEST",
        "---\nMANIFEST---\n# nothing else\n",
        "\ufeffMANIFEST",
        "other: {values: [1, 2]}\n---\nMANIFEST---\nx: 1\n",
        "MANIFEST\n# trailing comment without line end",
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_only_the_lines_that_must_change_change(tmp_path: Path, text: str, newline: str) -> None:
    """In every style of file, just the two weights differ afterwards, byte by byte."""
    manifest = textwrap.dedent("""\
        apiVersion: networking.istio.io/v1   # version
        kind: VirtualService
        metadata: {name: "web", annotations: {note: 'a: b'}}
        spec:
          hosts: &hosts [shop.example.com]
          http:
          - name: other
            route: [{destination: {host: x}}]
            headers: {request: {set: {x-note: "tab\\there"}}}
          - route:
            - destination: {host: shop-stable}
              weight: 0100	# a tab
            - destination:
                host: shop-canary
              weight: 0
          description: |
            text with weight: 0
    """).replace("0100", "100")
    write(tmp_path, rollout_yaml=m.rollout(ISTIO))
    file = tmp_path / "web.yaml"
    file.write_bytes(text.replace("MANIFEST", manifest).replace("\n", newline).encode())
    before = file.read_bytes().split(b"\n")
    assert router(tmp_path).set_weight(30).changed
    after = file.read_bytes().split(b"\n")
    changed = [(old.strip(), new.strip()) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [(b"weight: 100\t# a tab", b"weight: 70\t# a tab"), (b"weight: 0", b"weight: 30")]
    router(tmp_path).set_weight(0)
    assert file.read_bytes().split(b"\n") == before


def test_a_manifest_in_json_stays_json(tmp_path: Path) -> None:
    """A VirtualService in a JSON file gets its weights there."""
    write(tmp_path, rollout_yaml=m.rollout(ISTIO))
    text = '{"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "web"}, "spec": {"http": [{"route": [{"destination": {"host": "shop-stable"}, "weight": 100}, {"destination": {"host": "shop-canary"}, "weight": 0}]}]}}'
    (tmp_path / "web.json").write_text(text)
    router(tmp_path).set_weight(30)
    assert (tmp_path / "web.json").read_text() == text.replace("100", "70").replace('t": 0', 't": 30')


def test_shared_anchors_are_parted(tmp_path: Path) -> None:
    """Two routes that share their destinations through an anchor are parted when only one of them is ours."""
    text = textwrap.dedent("""\
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: web}
        spec:
          tcp:
          - match: [{port: 1}]
            route: &both
            - {destination: {host: shop-stable}, weight: 100}
            - {destination: {host: shop-canary}, weight: 0}
          - match: [{port: 2}]
            route: *both
    """)
    routing = {"istio": {"virtualService": {"name": "web", "tcpRoutes": [{"port": 1}]}}}
    write(tmp_path, rollout_yaml=m.rollout(routing), web_yaml=text)
    router(tmp_path).set_weight(30)
    routes = yaml.safe_load((tmp_path / "web.yaml").read_text())["spec"]["tcp"]
    assert [[item["weight"] for item in entry["route"]] for entry in routes] == [[70, 30], [100, 0]]


def test_the_same_object_twice_names_both_places(tmp_path: Path) -> None:
    """A needed object that stands in two files is an error with both files and lines."""
    write(
        tmp_path,
        rollout_yaml=m.rollout(ISTIO),
        a_yaml=m.virtual_service(),
        b_yaml=[m.service("x"), m.virtual_service()],
    )
    with pytest.raises(DuplicateObjectError, match=r"a\.yaml:1 and .*b\.yaml:\d+"):
        router(tmp_path).set_weight(10)
    (tmp_path / "b.yaml").unlink()
    write(tmp_path, c_yaml=m.rollout(SMI), d_yaml=m.rollout(ISTIO, name="other"))
    with pytest.raises(DuplicateObjectError, match=r"c\.yaml:1 and .*rollout\.yaml:1"):
        router(tmp_path)
    other, duplicated = (answer for _, answer in read_rollouts(DirectoryStore(tmp_path)))
    assert isinstance(duplicated, DuplicateObjectError)
    assert isinstance(other, Rollout)


def test_duplicates_that_nobody_needs_are_left_alone(tmp_path: Path) -> None:
    """Another app's duplicate Ingress does not stop this one."""
    write(
        tmp_path,
        rollout_yaml=m.rollout(NGINX),
        web_yaml=m.ingress(),
        a_yaml=m.ingress("x", "x.example.com"),
        b_yaml=m.ingress("x", "x.example.com"),
    )
    assert router(tmp_path).set_weight(10).changed


def test_two_objects_of_one_name_are_both_judged(tmp_path: Path) -> None:
    """Of another app's Ingress that stands in two files, the one that gets in the way is seen, whichever it is."""
    second = m.ingress(
        "x", "shop.example.com", m.path("x"), metadata=SECOND_CANARY["metadata"] | {"name": "x"}
    )
    harmless = m.ingress("x", "x.example.com", m.path("y"))
    for name, (first, last) in {"one": (second, harmless), "two": (harmless, second)}.items():
        folder = tmp_path / name
        write(folder, rollout_yaml=m.rollout(NGINX), web_yaml=m.ingress(), a__x_yaml=first, b__x_yaml=last)
        copy = "" if first is second else rf" \({folder}/b/x\.yaml\)"
        with pytest.raises(RefusedError, match=f"default/x{copy} is the canary of .* already"):
            router(folder).set_weight(10)


def test_the_preferred_file_decides_between_duplicates(tmp_path: Path) -> None:
    """Where each folder has the whole app, the preferred file decides which folder is meant."""
    for place in ("prod", "staging"):
        write(
            tmp_path / place,
            rollout_yaml=m.rollout({**ISTIO, **NGINX}),
            web_yaml=[m.virtual_service(), m.ingress()],
        )
    before = contents(tmp_path / "staging")
    store = DirectoryStore(tmp_path, prefer=tmp_path / "prod" / "rollout.yaml")
    TrafficRouter(read_rollout(store, "shop"), store).set_weight(20)
    assert contents(tmp_path / "staging") == before
    assert router(tmp_path / "prod").observe().traffic == Traffic(Split(20))
    with pytest.raises(DuplicateObjectError, match="choose the Rollout's file with -f"):
        router(tmp_path)


def test_json_with_escaped_emoji_is_edited(tmp_path: Path) -> None:
    """JSON's two escapes for one character stay as they are, in values, keys and before what changes."""
    write(tmp_path, rollout_yaml=m.rollout(ISTIO))
    manifest = m.virtual_service()
    manifest["metadata"]["annotations"] = {"note \U0001f600": "\U0001f600 \u00e9"}
    text = json.dumps(manifest, indent=2)
    assert "\\ud83d\\ude00" in text
    (tmp_path / "web.json").write_text(text)
    live = DirectoryStore(tmp_path).read([Need("networking.istio.io", "VirtualService")])
    (service,) = live.values()
    assert service.locate(("spec", "http", 0, "route", 1, "weight")) == f"{tmp_path}/web.json:29"
    router(tmp_path).set_weight(30)
    assert (tmp_path / "web.json").read_text() == text.replace(": 100", ": 70").replace(": 0", ": 30")


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    """A linked folder is walked; a link to what is walked anyway, or to a folder above, brings nothing twice."""
    write(tmp_path, shared__web_yaml=m.virtual_service(), app__rollout_yaml=m.rollout(ISTIO))
    app = tmp_path / "app"
    (app / "routing").symlink_to("../shared")
    (app / "again").symlink_to("routing")
    (app / "loop").symlink_to("..")
    (app / "rollout-too.yaml").symlink_to("rollout.yaml")
    router(app).set_weight(20)
    assert (tmp_path / "shared" / "web.yaml").read_text().count("weight: 20") == 1
    assert len(files.walk(str(app))) == 2
    assert len(files.walk(str(tmp_path))) == 2


def test_the_owner_of_an_edited_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file keeps its owner and its group; who may not give it the owner at least keeps the group."""
    write(tmp_path, rollout_yaml=m.rollout(ISTIO), web_yaml=m.virtual_service())
    real, asked = os.stat, []
    other = os.stat_result(
        (0o100640, *real(tmp_path / "web.yaml")[1:4], 1234, 5678, *real(tmp_path / "web.yaml")[6:])
    )
    monkeypatch.setattr(
        os, "stat", lambda path, **words: other if str(path).endswith("web.yaml") else real(path, **words)
    )

    def give(_descriptor: int, user: int, group: int) -> None:
        asked.append((user, group))
        if user >= 0:
            raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", give)
    router(tmp_path).set_weight(20)
    monkeypatch.undo()
    assert asked == [(-1, 5678), (1234, -1)]
    assert (tmp_path / "web.yaml").stat().st_mode & 0o777 == 0o640


def test_a_file_is_read_again_where_it_may_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that has settled is read once, and again after an edit that keeps its size and its time of change."""
    path, read = tmp_path / "web.yaml", os.read
    pieces: list[bytes] = []
    path.write_bytes(b"weight: 10")

    def counted(descriptor: int, size: int) -> bytes:
        pieces.append(read(descriptor, size))
        return pieces[-1]

    monkeypatch.setattr(os, "read", counted)
    contents = files.Contents()
    assert [contents.read(str(path)) for _ in range(2)] == [b"weight: 10"] * 2
    assert pieces.count(b"weight: 10") == 2, "written just now, it might be written again at that very time"
    later = time.time_ns() + 60 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    assert [contents.read(str(path)) for _ in range(3)] == [b"weight: 10"] * 3
    assert pieces.count(b"weight: 10") == 3
    times = path.stat()
    time.sleep(0.02)  # the clock of a file system moves every few milliseconds
    path.write_bytes(b"weight: 20")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert contents.read(str(path)) == b"weight: 20"
    path.unlink()
    assert contents.read(str(path)) is None


def test_what_is_missing_is_told_with_what_was_skipped(tmp_path: Path) -> None:
    """A missing object's error names alike objects and every file that was not read as objects."""
    write(
        tmp_path,
        rollout_yaml=m.rollout(ISTIO),
        values_yaml="replicas: 3\n",
        chart_yaml="{{ if }}\n",
        empty_yaml="",
    )
    (tmp_path / "latin.yaml").write_bytes(b"kind: VirtualService # \xe9\n")
    other = m.virtual_service()
    other["metadata"]["namespace"] = "prod"
    write(tmp_path, other_yaml=other)
    with pytest.raises(NotFoundError) as caught:
        router(tmp_path).set_weight(10)
    text = str(caught.value)
    assert "VirtualService default/web not found" in text
    assert "other.yaml:1 has networking.istio.io/v1 VirtualService prod/web" in text
    assert "chart.yaml:1 cannot be read: not YAML (a template?): " in text
    assert "latin.yaml:1 cannot be read: 'utf-8'" in text
    assert f"no Kubernetes object in {tmp_path}/empty.yaml, {tmp_path}/values.yaml" in text


def test_many_skipped_files_are_counted(tmp_path: Path) -> None:
    """A long list of skipped files is cut and counted."""
    write(tmp_path, **{f"v{number}_yaml": "a: 1\n" for number in range(20)})
    with pytest.raises(NotFoundError, match="and 12 more"):
        read_rollout(DirectoryStore(tmp_path), "shop")


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    """A link to nowhere is named as unreadable when something is missing."""
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(NotFoundError, match=r"gone\.yaml cannot be read: the file cannot be opened"):
        read_rollout(DirectoryStore(tmp_path), "shop")


def test_escaped_names_are_found(tmp_path: Path) -> None:
    """A name that is spelled with escapes is found although a search for its text would not find it."""
    write(tmp_path, rollout_yaml=m.rollout(ISTIO))
    text = (
        yaml.safe_dump(m.virtual_service())
        .replace("name: web", 'name: "w\\x65b"')
        .replace("kind: VirtualService", 'kind: "Virtual\\u0053ervice"')
    )
    (tmp_path / "web.yaml").write_text(text)
    assert router(tmp_path).set_weight(10).changed


def test_the_namespace_option_is_that_of_objects_without_one(tmp_path: Path) -> None:
    """-n is the namespace of manifests that name none; a Rollout is found in any unless one is given."""
    manifest = m.rollout(ISTIO)
    service = m.virtual_service()
    del manifest["metadata"]["namespace"], service["metadata"]["namespace"]
    write(tmp_path, app_yaml=[manifest, service])
    assert router(tmp_path, "prod").rollout.namespace == "prod"
    assert router(tmp_path, "prod").set_weight(10).written == (
        ObjectRef("networking.istio.io", "VirtualService", "prod", "web"),
    )
    with pytest.raises(NotFoundError):
        read_rollout(DirectoryStore(tmp_path, "prod"), "shop", "test")


# -- new and deleted objects


def test_a_new_object_stands_beside_its_origin_and_in_its_kustomization(tmp_path: Path) -> None:
    """A canary Ingress gets a file beside the stable one and a line in each kustomization that lists that; reset undoes it."""
    kustomization = "kind: Kustomization\nresources: # all\n  - ./web.yaml # the site\n  - rollout.yaml\n"
    write(
        tmp_path,
        base__web_yaml=m.ingress(),
        base__rollout_yaml=m.rollout(NGINX),
        base__kustomization_yaml=kustomization,
    )
    write(
        tmp_path,
        kustomization_yml="resources: [base/web.yaml, other]\n",
        other__kustomization_yaml="resources: [x.yaml]\n",
        broken__kustomization_yaml="{{",
        odd__kustomization_yaml="- a\n",
    )
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    router(tmp_path).set_weight(10)
    assert (tmp_path / "base/ingress-shop-web-canary.yaml").exists()
    listed = kustomization.replace("# the site\n", "# the site\n  - ./ingress-shop-web-canary.yaml\n")
    assert (tmp_path / "base/kustomization.yaml").read_text() == listed
    assert (
        tmp_path / "kustomization.yml"
    ).read_text() == "resources: [base/web.yaml, base/ingress-shop-web-canary.yaml, other]\n"
    router(tmp_path).reset()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_new_object_is_written_as_its_origin_is(tmp_path: Path) -> None:
    """A new object names its namespace only where its origin does, and has its line ends; a failed plan takes it away again."""
    manifests = [m.rollout({**NGINX, **SMI}), m.ingress()]
    for manifest in manifests:
        del manifest["metadata"]["namespace"]
    write(tmp_path, app_yaml=yaml.safe_dump_all(manifests).replace("\n", "\r\n"))
    assert router(tmp_path, "prod").set_weight(10).changed
    for name in ("ingress-shop-web-canary.yaml", "trafficsplit-shop.yaml"):
        raw = (tmp_path / name).read_bytes()
        assert b"namespace" not in raw
        assert raw.count(b"\r\n") == raw.count(b"\n")
    assert router(tmp_path, "test").set_weight(20).changed
    assert router(tmp_path).observe().traffic == Traffic(Split(20))
    router(tmp_path).reset()
    found = router(tmp_path)
    plan = found.plan(30)
    assert plan is not None
    created = plan.changes[0]
    stored = found.store.write(created)
    assert stored is not None
    undo = created._replace(after=stored.manifest).inverse(stored)
    assert undo is not None
    found.store.write(undo)
    assert [path.name for path in tmp_path.iterdir()] == ["app.yaml"]


def test_a_kustomization_that_cannot_be_edited_stops_the_creation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the list cannot take the new file, nothing is written, and the error names the kustomization."""
    write(
        tmp_path,
        web_yaml=m.ingress(),
        rollout_yaml=m.rollout(NGINX),
        kustomization_yaml="resources: [web.yaml]\n",
    )
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def refuse(*_: Any, **__: Any) -> str:
        raise UnwritableError("too odd")

    monkeypatch.setattr(yaml_text, "edit", refuse)
    with pytest.raises(UnwritableError, match=r"kustomization\.yaml: too odd"):
        router(tmp_path).set_weight(10)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_names_of_new_files_are_free_and_short(tmp_path: Path) -> None:
    """A new file never takes the place of another, and its name fits the file system."""
    (tmp_path / "a.yaml").touch()
    assert files.new_name(str(tmp_path), "a") == str(tmp_path / "a-2.yaml")
    long = Path(files.new_name(str(tmp_path), "x" * 253))
    assert len(long.name) <= 255
    assert long != Path(files.new_name(str(tmp_path), "x" * 252 + "y"))


def test_a_store_of_one_file_gets_new_documents(tmp_path: Path) -> None:
    """With one file as the store, a new object becomes a document of it, and goes again."""
    for text_end in ("", "\n"):
        file = tmp_path / "app.yaml"
        file.write_text(
            yaml.safe_dump_all([m.rollout(SMI), m.service("shop-stable")]).rstrip("\n") + text_end
        )
        before = file.read_text()
        router(file).set_weight(10)
        assert file.read_text().startswith(before)
        assert router(file).observe().traffic == Traffic(Split(10))
        router(file).reset()
        assert file.read_text().rstrip("\n") == before.rstrip("\n")


def test_a_store_of_one_json_file_takes_no_new_object(tmp_path: Path) -> None:
    """JSON has one document a file, so a creation is refused with the way out."""
    file = tmp_path / "app.json"
    file.write_text(json.dumps(m.rollout(SMI)))
    for call in (router(file).plan, router(file).set_weight):
        with pytest.raises(UnwritableError, match="JSON file holds one document"):
            call(10)
    with pytest.raises(UnwritableError, match="JSON file holds one document"):
        router(file).set_weight(10, dry_run=True)


def test_the_only_object_of_a_store_of_one_file_is_not_deleted(tmp_path: Path) -> None:
    """A file that is the whole store is never deleted."""
    file = tmp_path / "split.yaml"
    file.write_text(yaml.safe_dump(m.traffic_split(shop_canary=1)))
    store = DirectoryStore(file)
    ref = ObjectRef("split.smi-spec.io", "TrafficSplit", "default", "shop")
    live = store.read([Need(ref.group, ref.kind)])
    with pytest.raises(UnwritableError, match="whole store"):
        store.write(Change(Action.DELETE, ref, live[ref].manifest, None, (), live[ref].version))


def test_managed_objects_in_lists_are_changed_and_deleted_there(tmp_path: Path) -> None:
    """A canary object inside a List is updated and removed inside that List."""
    write(tmp_path, rollout_yaml=m.rollout(SMI))
    router(tmp_path).set_weight(10)
    split = yaml.safe_load((tmp_path / "trafficsplit-shop.yaml").read_text())
    (tmp_path / "trafficsplit-shop.yaml").unlink()
    write(
        tmp_path,
        list_yaml={"apiVersion": "v1", "kind": "List", "items": [m.service("a"), split, m.service("b")]},
    )
    router(tmp_path).set_weight(20)
    router(tmp_path).reset()
    assert [
        item["metadata"]["name"] for item in yaml.safe_load((tmp_path / "list.yaml").read_text())["items"]
    ] == ["a", "b"]


# -- writing


def change_of(folder: Path, weight: int) -> tuple[DirectoryStore, Change]:
    """Return a store and the one change that a weight needs."""
    found = router(folder)
    plan = found.plan(weight)
    assert plan is not None
    store = found.store
    assert isinstance(store, DirectoryStore)
    return store, plan.changes[0]


def test_conflicts_are_noticed(tmp_path: Path) -> None:
    """A change computed from what is no longer there is a conflict, and writes nothing."""
    write(tmp_path, rollout_yaml=m.rollout({**ISTIO, **SMI}), web_yaml=m.virtual_service())
    router(tmp_path).set_weight(10)
    plan = router(tmp_path).plan(20)
    assert plan is not None
    store = DirectoryStore(tmp_path)
    patch, apply = plan.changes
    create = Change(Action.CREATE, apply.ref, None, apply.after)
    router(tmp_path).set_weight(30)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for change in (patch, apply, create):
        with pytest.raises(ConflictError):
            store.write(change)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "web.yaml").unlink()
    with pytest.raises(ConflictError, match="is gone"):
        store.write(patch)


def test_foreign_edits_of_other_fields_are_kept(tmp_path: Path) -> None:
    """A comment, another field or another object that is written between plan and apply stays."""
    write(tmp_path, rollout_yaml=m.rollout(ISTIO), web_yaml=m.virtual_service())
    store, change = change_of(tmp_path, 20)
    file = tmp_path / "web.yaml"
    file.write_text("# new comment\n" + file.read_text() + "---\nmore: 1\n")
    store.write(change)
    assert file.read_text().startswith("# new comment\n")
    assert file.read_text().endswith("---\nmore: 1\n")
    assert router(tmp_path).observe().traffic == Traffic(Split(20))


def test_utf16_is_refused(tmp_path: Path) -> None:
    """A file in UTF-16 is not read as objects, and this is reported."""
    (tmp_path / "a.yaml").write_bytes(yaml.safe_dump(m.rollout(SMI)).encode("utf-16"))
    with pytest.raises(NotFoundError, match="utf-8"):
        read_rollout(DirectoryStore(tmp_path), "shop")


def test_links_and_modes_survive_a_write(tmp_path: Path) -> None:
    """Writing through a symbolic link changes its target, and the mode of the file stays."""
    write(tmp_path, k8s__rollout_yaml=m.rollout(ISTIO), real_yaml=m.virtual_service())
    (tmp_path / "real.yaml").chmod(0o640)
    (tmp_path / "k8s" / "web.yaml").symlink_to("../real.yaml")
    router(tmp_path / "k8s").set_weight(20)
    assert (tmp_path / "k8s" / "web.yaml").is_symlink()
    assert "weight: 20" in (tmp_path / "real.yaml").read_text()
    assert (tmp_path / "real.yaml").stat().st_mode & 0o777 == 0o640


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses, the old content is there, no temporary file is left, and the error is typed."""
    write(tmp_path, rollout_yaml=m.rollout(ISTIO), web_yaml=m.virtual_service())
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        router(tmp_path).set_weight(20)
    monkeypatch.setattr(os, "unlink", full)
    with pytest.raises(StoreError, match="cannot be deleted"):
        files.remove(str(tmp_path / "web.yaml"))
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_folders_that_cannot_be_read_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that the user may not read, or that vanished, is a typed error."""
    store = DirectoryStore(tmp_path)

    def denied(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(StoreError, match="Permission denied"):
        store.read([Need("", "Service")])
    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(StoreError, match="cannot be opened"), files.locked(str(tmp_path)):
        pass


def test_leftovers_of_a_killed_process_go_away(tmp_path: Path) -> None:
    """A temporary file of a killed writer is removed by the next write in that folder, and never read."""
    write(tmp_path, rollout_yaml=m.rollout(ISTIO), web_yaml=m.virtual_service())
    (tmp_path / ".rollway-0123.tmp").write_text("half")
    router(tmp_path).set_weight(20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rollout.yaml", "web.yaml"]


KILLED = """
import os, signal, sys
from rollway.routers.stores import files, yaml_text
from rollway.routers.lookup import read_rollout
from rollway.routers.router import TrafficRouter
from rollway.routers.stores.directory import DirectoryStore
left = int(sys.argv[2])
def dying(name):
    real = getattr(os, name)
    def call(*args, **words):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **words)
    return call
for name in ("replace", "fsync", "unlink", "fchmod"):
    setattr(os, name, dying(name))
store = DirectoryStore(sys.argv[1])
router = TrafficRouter(read_rollout(store, "shop"), store)
router.set_weight(60) if sys.argv[3] == "set" else router.reset()
"""


@pytest.mark.slow
@pytest.mark.uncovered
@pytest.mark.parametrize("action", ["set", "reset"])
def test_a_kill_at_any_point_loses_nothing(tmp_path: Path, action: str) -> None:
    """Killed at each of its system calls, the next call converges, and every file is old or new, never half."""
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    kustomization = "resources:\n- web.yaml\n- vs.yaml\n"
    for point in range(60):
        folder = tmp_path / str(point)
        write(
            folder,
            web_yaml=m.ingress(),
            vs_yaml=m.virtual_service(),
            rollout_yaml=m.rollout({**NGINX, **ISTIO, **SMI}),
            kustomization_yaml=kustomization,
        )
        if action == "reset":
            router(folder).set_weight(10)
        ended = subprocess.run([sys.executable, script, folder, str(point), action], check=False)
        for file in folder.glob("*.yaml"):
            assert next(yaml.safe_load_all(file.read_text()))
        if action == "set":
            router(folder).set_weight(60)
            assert {reading.traffic for reading in router(folder).observe().readings} == {Traffic(Split(60))}
            assert "ingress-shop-web-canary.yaml" in (folder / "kustomization.yaml").read_text()
        else:
            router(folder).reset()
            assert (folder / "kustomization.yaml").read_text() == kustomization
            assert sorted(path.name for path in folder.glob("*.yaml")) == [
                "kustomization.yaml",
                "rollout.yaml",
                "vs.yaml",
                "web.yaml",
            ]
        if ended.returncode == 0:
            assert point > 5
            return
        assert ended.returncode == -signal.SIGKILL
    raise AssertionError("the call never ended by itself")


def edit_many(folder: str, name: str, count: int) -> None:
    """Set weights many times, as one of several processes."""
    for weight in range(1, count + 1):
        store = DirectoryStore(folder)
        TrafficRouter(read_rollout(store, name), store).set_weight(weight)


@pytest.mark.slow
@pytest.mark.uncovered
def test_two_processes_never_lose_a_change(tmp_path: Path) -> None:
    """Three processes that write different Rollouts in one file at once all get their last weight."""
    names = ("a", "b", "c")
    routing = {name: {"istio": {"virtualService": {"name": "web", "routes": [name]}}} for name in names}
    http = [
        {"name": name, "route": [m.destination(f"{name}-stable", 100), m.destination(f"{name}-canary", 0)]}
        for name in names
    ]
    rollouts = [
        m.rollout(routing[name], name=name, stableService=f"{name}-stable", canaryService=f"{name}-canary")
        for name in names
    ]
    write(tmp_path, apps__app_yaml=[*rollouts, m.virtual_service(http=http)])
    context = multiprocessing.get_context("spawn")
    # One of them works on the folder below, as a second store of the same file.
    folders = (tmp_path, tmp_path / "apps", tmp_path)
    workers = [
        context.Process(target=edit_many, args=(str(folder), name, 12))
        for folder, name in zip(folders, names, strict=True)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    store = DirectoryStore(tmp_path)
    for name in names:
        assert TrafficRouter(read_rollout(store, name), store).observe().traffic == Traffic(Split(12))


def test_a_lock_can_be_taken_again_by_its_holder(tmp_path: Path) -> None:
    """Whoever holds a folder's lock may ask for it again without waiting for itself."""
    with files.locked(str(tmp_path)), files.locked(str(tmp_path / "file.yaml")):
        pass


def test_an_object_that_goes_between_finding_and_locking_is_a_conflict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the file loses the object just before its folder is locked, that is a conflict, and nothing is written."""
    write(tmp_path, rollout_yaml=m.rollout(ISTIO), web_yaml=m.virtual_service())
    store, change = change_of(tmp_path, 20)
    real = files.locked

    def locked(path: str) -> Any:
        if path.endswith("web.yaml"):
            (tmp_path / "web.yaml").write_text("a: 1\n")
        return real(path)

    monkeypatch.setattr(files, "locked", locked)
    with pytest.raises(ConflictError, match="is gone"):
        store.write(change)
    assert (tmp_path / "web.yaml").read_text() == "a: 1\n"


def test_a_directory_shows_written_and_says_what_it_cannot(tmp_path: Path) -> None:
    """The evidence of files is `written`; what they cannot know is a note, not a refusal."""
    store = DirectoryStore(tmp_path)
    assert store.evidence is Evidence.WRITTEN
    assert [found.severity.value for found in store.read([]).notes] == ["note"]


# -- what cannot be read

TEMPLATE = "{{- if .Values.canary.enabled }}\n" + yaml.safe_dump(SECOND_CANARY) + "{{- end }}\n"
BROKEN = yaml.safe_dump(SECOND_CANARY).replace("spec:", "spec: [")


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("template", TEMPLATE, 1),
        ("partial", '{{ include "shop.ingress" . }}\n', 1),
        ("broken", BROKEN, 11),
        ("second document", f"{yaml.safe_dump(m.service('x'))}---\n{BROKEN}", 23),
        ("template for a name", yaml.safe_dump(m.ingress("{{ .Values.name }}")), 1),
        ("template for a host", yaml.safe_dump(m.ingress("other", "{{ .Values.host }}")), 1),
        ("a name that is a number", yaml.safe_dump({**m.ingress(), "metadata": {"name": 7}}), 1),
        ("broken JSON", '{"kind": "Ingress",\n', 2),
    ],
)
def test_what_may_hold_a_second_canary_and_cannot_be_read_is_a_refusal(
    tmp_path: Path, name: str, text: str, line: int
) -> None:
    """A file that mentions a kind that is asked for is refused with file and line, --allow lifts it, verify is unknown."""
    write(tmp_path, rollout_yaml=m.rollout(NGINX), web_yaml=m.ingress())
    file = tmp_path / ("odd.json" if "JSON" in name else "odd.yaml")
    file.write_text(text)
    with pytest.raises(RefusedError, match=rf"{file}:{line} cannot be read: .*--allow unreadable-file"):
        router(tmp_path).set_weight(10)
    allowed = replace(router(tmp_path), limits=Limits(allow=frozenset({"unreadable-file"})))
    result = allowed.set_weight(10)
    assert [(found.code, found.place) for found in result.findings if found.code == "unreadable-file"] == [
        ("unreadable-file", f"{file}:{line}")
    ]
    assert router(tmp_path).verify(10).outcome is Outcome.UNKNOWN
    assert allowed.verify(10).outcome is Outcome.MATCHES
    router(tmp_path).reset()
    assert router(tmp_path).observe().traffic == Traffic(Split(0))


@pytest.mark.parametrize(
    "text",
    [
        "replicas: {{ .Values.replicas }}\n",
        "a: [\n",
        yaml.safe_dump({**m.ingress(), "kind": "IngressClass"}),
        "x: {{ a }}\nkind: VirtualService\n",
    ],
)
def test_what_cannot_matter_does_not_stop_a_call(tmp_path: Path, text: str) -> None:
    """A broken file that mentions nothing that is asked for is no refusal."""
    write(tmp_path, rollout_yaml=m.rollout(NGINX), web_yaml=m.ingress(), odd_yaml=text)
    assert router(tmp_path).set_weight(10).changed


def test_a_broken_document_hides_no_other(tmp_path: Path) -> None:
    """The documents beside a broken one are read and written, and its bytes stay."""
    broken = "kind: ConfigMap\ndata: {{ .Values.data }}\n"
    text = f"{yaml.safe_dump(m.rollout(ISTIO))}---\n{broken}---\n{yaml.safe_dump(m.virtual_service())}"
    write(tmp_path, app_yaml=text)
    result = router(tmp_path).set_weight(30)
    file = tmp_path / "app.yaml"
    assert [found.place for found in result.findings if found.code == "unreadable-file"] == [
        f"{file}:{text[: text.index(broken)].count(chr(10)) + 2}"
    ]
    assert file.read_text() == text.replace("weight: 100", "weight: 70").replace("weight: 0", "weight: 30")
    router(tmp_path).set_weight(0)
    assert file.read_text() == text


def test_a_file_that_may_not_be_opened_may_hold_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without permission to read a file nothing is known of it: a refusal where all objects of a kind count."""
    write(tmp_path, rollout_yaml=m.rollout(NGINX), web_yaml=m.ingress(), locked_yaml="a: 1\n")
    real = os.open

    def denied(path: Any, *words: Any, **more: Any) -> int:
        if str(path).endswith("locked.yaml"):
            raise PermissionError(13, "Permission denied")
        return real(path, *words, **more)

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(RefusedError, match=r"locked\.yaml cannot be read: the file cannot be opened"):
        router(tmp_path).set_weight(10)


def test_every_fault_of_a_directory_is_listed(tmp_path: Path) -> None:
    """What no call came by is listed as well, with file and line."""
    write(tmp_path, a_yaml="a: 1\n---\n{{ x }}\n", b_yaml=m.service("x"), c_yaml="a:\n  - b\n c\n")
    faults = DirectoryStore(tmp_path).faults()
    assert [(found.place, found.severity) for found in faults] == [
        (f"{tmp_path}/a.yaml:3", Severity.NOTE),
        (f"{tmp_path}/c.yaml:3", Severity.NOTE),
    ]


@pytest.mark.parametrize("version", ["extensions/v1beta1", "networking.k8s.io/v1beta1"])
def test_an_ingress_of_an_old_api_version_says_so(tmp_path: Path, version: str) -> None:
    """An Ingress that no server takes any more is reported with the version to move to: a note, or why it is not found."""
    old = {**m.ingress("old"), "apiVersion": version}
    write(tmp_path, rollout_yaml=m.rollout(NGINX), web_yaml=m.ingress(), old_yaml=old)
    notes = [str(found) for found in router(tmp_path).set_weight(10).findings]
    assert any(
        f"is written as {version} in {tmp_path}/old.yaml:1" in note
        and "move it to networking.k8s.io/v1" in note
        for note in notes
    )
    router(tmp_path).reset()
    write(tmp_path, web_yaml={**m.ingress(), "apiVersion": version})
    with pytest.raises(NotFoundError, match=rf"has {version} .*move it to networking\.k8s\.io/v1\)"):
        router(tmp_path).set_weight(10)


def test_what_is_missing_is_told_with_near_names(tmp_path: Path) -> None:
    """The error for a missing object guesses the name that was meant, and lists what there is."""
    others = [m.rollout(SMI, name=f"app-{number}") for number in range(12)]
    write(tmp_path, all_yaml=[*others, m.rollout(SMI, name="shop-web")])
    with pytest.raises(
        NotFoundError, match=r"did you mean shop-web\? Rollout here: shop-web, app-0, .* and 5 more"
    ):
        read_rollout(DirectoryStore(tmp_path), "shopweb")
    (tmp_path / "all.yaml").write_text("a: 1\n")
    with pytest.raises(NotFoundError, match="there is no Rollout at all"):
        read_rollout(DirectoryStore(tmp_path), "shop")


def test_a_plan_is_one_that_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`plan` and a dry run try the edit of the text, and refuse what the write would."""
    write(tmp_path, rollout_yaml=m.rollout(ISTIO), web_yaml=m.virtual_service())
    # Without anchors, numbers can always take the place of numbers, and nothing is tried.
    text = (tmp_path / "web.yaml").read_text() + "x-first: &one 1\nx-second: *one\n"
    (tmp_path / "web.yaml").write_text(text)

    def refuse(*_: Any, **__: Any) -> str:
        raise UnwritableError("too odd")

    monkeypatch.setattr(yaml_text, "edit", refuse)
    for call in (
        lambda: router(tmp_path).plan(10),
        lambda: router(tmp_path).set_weight(10, dry_run=True),
        lambda: router(tmp_path).set_weight(10),
    ):
        with pytest.raises(UnwritableError, match=r"web\.yaml: "):
            call()
    assert (tmp_path / "web.yaml").read_text() == text


def test_a_plan_for_a_folder_that_takes_no_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the right to write to the folder there is no plan."""
    write(tmp_path, rollout_yaml=m.rollout(ISTIO), web_yaml=m.virtual_service())
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StoreError, match=r"web\.yaml cannot be written: no permission"):
        router(tmp_path).plan(10)
