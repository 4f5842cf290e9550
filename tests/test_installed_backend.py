"""A backend of another distribution, in one folder, works as those that come with rollway do."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import manifests as m
from rollway.routers import backends, gitops, linting, rbac
from rollway.routers.backends import installed_packages
from rollway.routers.errors import InvalidBackendError, ManifestError, UnsupportedError
from rollway.routers.rollout import parse_rollout
from rollway.routers.testing.contract import BackendContract
from running import rollway, schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rollway.routers.model import Rollout
    from rollway.routers.objects import Manifest

PACKAGE = Path(__file__).parent.parent / "examples" / "backend" / "rollway_acme"
PLUGIN = {"plugins": {"acme.example.com/rollway": {"route": "web"}}}


def install(site: Path, **entry_points: str) -> None:
    """Put the package beside the metadata of a distribution, as an installer does."""
    shutil.copytree(PACKAGE, site / PACKAGE.name, dirs_exist_ok=True)
    metadata = site / "rollway_acme-1.0.dist-info"
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: rollway-acme\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in entry_points.items()]
    (metadata / "entry_points.txt").write_text("\n".join([f"[{backends.ENTRY_POINTS}]", *lines, ""]))


def forget() -> None:
    """Look for installed backends anew."""
    installed_packages.cache_clear()
    linting._schema.cache_clear()


@pytest.fixture(scope="module", autouse=True)
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on the path in which the distribution is installed."""
    folder = tmp_path_factory.mktemp("site")
    install(folder, acme="rollway_acme:PACKAGE")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        forget()
        yield folder
    forget()
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE.name]:
        del sys.modules[name]


def weighted_route(*weights: tuple[str, Any]) -> Manifest:
    """Return the WeightedRoute `web`."""
    entries = [{"service": service, "weight": weight} for service, weight in weights]
    return {
        "apiVersion": "acme.example.com/v1",
        "kind": "WeightedRoute",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"backends": entries, "routes": [{"name": "images", "service": "images"}]},
    }


ROUTE = weighted_route(("shop-stable", 100), ("shop-canary", 0))


class TestAcme(BackendContract):
    """The whole contract of a backend."""

    def rollout(self) -> Rollout:
        return parse_rollout(m.rollout({"acme": {"route": "web"}, "managedRoutes": [{"name": "beta"}]}))

    def objects(self) -> list[Manifest]:
        return [ROUTE, m.service("shop-stable"), m.service("shop-canary")]

    def garbage(self) -> list[Manifest]:
        return [
            weighted_route(("shop-stable", 100), ("shop-canary", "many")),
            weighted_route(("shop-stable", 100)),
            {**ROUTE, "spec": {"backends": "none"}},
            {**ROUTE, "spec": {**ROUTE["spec"], "routes": "none"}},
            {**ROUTE, "spec": {**ROUTE["spec"], "routes": [{"name": "beta"}]}},
        ]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with a Rollout that names the stanza as a plugin of Argo Rollouts."""
    objects = [m.rollout(PLUGIN), ROUTE, m.service("shop-stable"), m.service("shop-canary")]
    (tmp_path / "app.yaml").write_text(yaml.safe_dump_all(objects))
    return tmp_path


def weights(directory: Path) -> list[int]:
    """Return the weights that the file has."""
    route = list(yaml.safe_load_all((directory / "app.yaml").read_text()))[1]
    return [entry["weight"] for entry in route["spec"]["backends"]]


def test_the_command_line_plans_applies_verifies_and_lints(directory: Path) -> None:
    """Every verb works without a change."""
    where = ("--dir", str(directory))
    planned = rollway("plan", "shop", "20", *where)
    assert (planned.code, "WeightedRoute default/web" in planned.stdout) == (3, True)
    assert rollway("set-weight", "shop", "20", *where).code == 0
    assert weights(directory) == [80, 20]
    assert rollway("verify", "shop", "20", *where).code == 0
    assert rollway("verify", "shop", "30", *where).code == 5
    assert "0 faults, 0 refusals" in rollway("lint", *where).stdout
    assert "20 of 100" in rollway("status", *where).stdout
    assert rollway("reset", "shop", *where).code == 0
    assert weights(directory) == [100, 0]


def test_it_is_listed_beside_the_others() -> None:
    """`rollway backends` shows what it can do, and by which name its addresses are given."""
    listed = rollway("backends", "-o", "json")
    schema("backends", json.loads(listed.stdout))
    acme = json.loads(listed.stdout)[-1]
    assert (acme["BACKEND"], acme["OBJECT"], acme["DATA PLANE"]) == ("acme", "WeightedRoute", "acme-admin")


@pytest.mark.parametrize(
    ("routing", "fault"),
    [
        ({"acme": {}}, "acme.route: is required"),
        ({"acme": {"root": "web"}}, "acme.root: unknown key; did you mean 'route'?"),
        (
            {"plugins": {"acme.example.com/rollway": {"route": "Web"}}},
            'plugins.acme.example.com/rollway.route: "Web" is not a name',
        ),
        (
            {"acme": {"route": "web"}, **PLUGIN},
            "acme is given as well, and means the same: keep one",
        ),
        ({}, "names no backend: add one of nginx, istio, smi, gateway, acme"),
    ],
)
def test_faults_of_its_stanza_are_reported(routing: Any, fault: str) -> None:
    """Its schema is a part of the Rollout's."""
    with pytest.raises(ManifestError) as caught:
        parse_rollout(m.rollout(routing))
    assert any(fault.replace('"', "'") in str(line).replace('"', "'") for line in caught.value.faults), (
        caught.value.faults
    )


def test_other_plugins_are_refused_by_name() -> None:
    """A plugin of nobody is refused beside one that is known, and the supported ones are listed."""
    routing = {"plugins": {"acme.example.com/rollway": {"route": "web"}, "example.com/other": {}}}
    with pytest.raises(
        UnsupportedError, match=r"'plugins.example.com/other' is not supported .*smi, gateway, acme"
    ):
        parse_rollout(m.rollout(routing))


def test_its_rights_are_those_that_it_names() -> None:
    """What it reads and writes comes from its needs, and what its data plane needs from itself."""
    roles = rbac.manifests(parse_rollout(m.rollout(PLUGIN)), data_planes=["acme-system"])
    rules = {role["metadata"]["namespace"]: role["rules"] for role in roles}
    assert ["weightedroutes"] in [rule["resources"] for rule in rules["default"]]
    assert ["routers"] in [rule["resources"] for rule in rules["acme-system"]]


def test_its_fields_are_left_alone_by_gitops_tools() -> None:
    """What it patches is what a GitOps tool is reported to leave alone."""
    store = TestAcme().store()
    rollout = parse_rollout(m.rollout(PLUGIN))
    live = TestAcme().live(store)
    fields = [("spec", "backends", index, "weight") for index in (0, 1)]
    assert list(gitops.weight_paths(rollout, live).values()) == [fields]


@pytest.mark.enable_socket
def test_its_data_plane_is_asked(directory: Path) -> None:
    """Given the address, `loaded` is reached when the router has the weights, and not before."""

    class Router(http.server.BaseHTTPRequestHandler):
        loaded: Any = {"web": {"shop-stable": 100, "shop-canary": 0}}

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(self.loaded).encode())

        def log_message(self, *_words: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Router) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = ("--dir", str(directory), "--address", f"acme-admin=127.0.0.1:{server.server_port}")
        behind = rollway("set-weight", "shop", "20", "--timeout", "0s", *where)
        assert (behind.code, "has {'shop-stable': 100" in behind.stderr) == (5, True)
        Router.loaded = {"web": {"shop-stable": 80, "shop-canary": 20}}
        assert "verified: loaded" in rollway("set-weight", "shop", "20", *where).stdout
        server.shutdown()
    unknown = rollway("verify", "shop", "20", "--dir", str(directory), "--address", "acme=127.0.0.1:1")
    assert (unknown.code, "acme-admin" in unknown.stderr) == (2, True)


def test_it_is_found_by_its_metadata_alone(site: Path, directory: Path) -> None:
    """A process of its own, with the folder on its path, needs nothing else."""
    command = [sys.executable, "-m", "rollway.cli", "set-weight", "shop", "5", "--dir", str(directory)]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert weights(directory) == [95, 5]


def test_a_known_backend_looks_for_no_others(tmp_path: Path) -> None:
    """A Rollout with the backends of rollway alone does not pay for the search."""
    (tmp_path / "app.yaml").write_text(yaml.safe_dump_all([m.rollout({"smi": {}})]))
    script = "import sys; from rollway.cli import run; run(sys.argv[1:]); print('importlib.metadata' in sys.modules)"
    command = [sys.executable, "-c", script, "set-weight", "shop", "5", "--dir", str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.stdout.splitlines()[-1] == "False", ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("entry_points", "words"),
    [
        ({"acme": "rollway_gone:PACKAGE"}, "cannot be imported: No module named 'rollway_gone'"),
        ({"acme": "rollway_acme.stanza:STANZA"}, "is no BackendPackage of that name"),
        ({"other": "rollway_acme:PACKAGE"}, "is no BackendPackage of that name"),
        ({"smi": "rollway.routers.backends.smi:PACKAGE"}, "has the name of another backend"),
    ],
)
def test_a_distribution_that_is_wrong_is_named(site: Path, entry_points: dict[str, str], words: str) -> None:
    """What cannot be used is an error that names the distribution, and no traceback."""
    try:
        install(site, **entry_points)
        forget()
        with pytest.raises(InvalidBackendError, match=words) as caught:
            backends.packages()
        assert "of rollway-acme" in str(caught.value)
        assert rollway("backends").code == 1
    finally:
        install(site, acme="rollway_acme:PACKAGE")
        forget()


def test_a_backend_without_findings_needs_no_module_for_them() -> None:
    """The example lists no codes, and a name that no backend has is an error of the caller."""
    assert backends.package("acme").findings == ()
    with pytest.raises(LookupError, match="there is no backend nothing"):
        backends.package("nothing")


def test_its_routes_are_set_from_the_command_line(tmp_path: Path) -> None:
    """A mirror route and a header route with every kind of condition come, stay under weights, and go as they came."""
    names = [{"name": "copy"}, {"name": "beta"}]
    objects = [m.rollout({"acme": {"route": "web"}, "managedRoutes": names}), ROUTE]
    services = [m.service("shop-stable"), m.service("shop-canary")]
    (tmp_path / "app.yaml").write_text(yaml.safe_dump_all([*objects, *services]))
    before, where = (tmp_path / "app.yaml").read_text(), ("--dir", str(tmp_path))
    conditions = (
        "--header-prefix",
        "X-V: 2.",
        "--header-regex",
        "X-U: a|b",
        "--path-regex",
        "/.*",
        "--method",
    )
    assert rollway("header-route", "shop", "set", "beta", *conditions, "GET", *where).code == 0
    copied = rollway(
        "mirror-route", "shop", "set", "copy", "--path-prefix", "/s", "--percentage", "5", *where
    )
    assert "  with mirror route copy (path /s*, 5 %)" in copied.stdout
    shown = rollway("status", "shop", *where).stdout
    assert "header route beta (X-U: ~a|b and X-V: 2.* and path ~/.* and method GET)" in shown
    document = json.loads(rollway("plan", "shop", "10", "-o", "json", *where).stdout)
    schema("plan", document)
    assert document["wanted"]["mirrorRoutes"][0]["percentage"] == 5
    (route,) = yaml.safe_load_all(rollway("render", "shop", "10", *where).stdout)
    assert [entry["name"] for entry in route["spec"]["routes"]] == ["copy", "beta", "images"]
    assert rollway("mirror-route", "shop", "remove", "--all", *where).code == 0
    assert rollway("header-route", "shop", "remove", "beta", *where).code == 0
    assert (tmp_path / "app.yaml").read_text() == before
