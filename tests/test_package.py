"""Whatever reads the sources finds the library under its one name, `rollway.routers`: builds, installs and the gates.

In the repository `rollway/routers` is a symbolic link to the folder `routers`.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import rollway

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parent.parent
SOURCES = {str(file.relative_to(ROOT)) for file in (ROOT / "routers").rglob("*.py")}
MAKEFILE = (ROOT / "Makefile").read_text()


def run(*words: str | Path, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    variables = {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **environment}
    return subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def python(*words: str | Path, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run this Python, which does not look for modules in the current folder."""
    return run(sys.executable, "-P", *words, folder=folder, **environment)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution, and the wheel that is built from it, as `python -m build` makes them."""
    target = tmp_path_factory.mktemp("dist")
    ran = python("-m", "build", "--no-isolation", "--outdir", target, ROOT)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return target


@pytest.fixture(scope="module")
def unpacked(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the wheel installs."""
    (wheel,) = built.glob("*.whl")
    target = tmp_path_factory.mktemp("unpacked")
    shutil.unpack_archive(wheel, target, "zip")
    return target


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the gates read, to break."""
    for name in ("rollway", "routers", "templates"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def names(wheel: Path) -> list[str]:
    """Return the names of the files in a wheel."""
    with zipfile.ZipFile(wheel) as opened:
        return sorted(opened.namelist())


def test_the_wheel_has_the_library_once_and_under_its_name(built: Path) -> None:
    """Each source file of the library is in the wheel as `rollway/routers/...`, and nothing is beside `rollway`."""
    (wheel,) = built.glob("*.whl")
    installed = names(wheel)
    assert {f"rollway/{name}" for name in SOURCES} <= set(installed)
    assert {name.partition("/")[0] for name in installed} == {
        "rollway",
        f"rollway-{rollway.__version__}.dist-info",
    }
    for name in ("py.typed", "_templates/nginx/ingress.yaml.j2"):
        assert f"rollway/routers/{name}" in installed


def test_a_wheel_of_the_repository_is_the_one_of_the_source_distribution(built: Path, tmp_path: Path) -> None:
    """`pip install .` and an install from the source distribution give the same files."""
    (wheel,) = built.glob("*.whl")
    ran = python("-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert names(next(tmp_path.glob("*.whl"))) == names(wheel)
    with tarfile.open(next(built.glob("*.tar.gz"))) as opened:
        packed = {member.name.partition("/")[2] for member in opened.getmembers()}
    assert packed >= SOURCES
    assert not any(name.startswith("rollway/routers") for name in packed)


def test_both_programs_are_installed(unpacked: Path) -> None:
    """The wheel installs `rollway` and `kubectl-rollway`."""
    entry_points = next(unpacked.glob("*.dist-info/entry_points.txt")).read_text()
    assert "kubectl-rollway = rollway.cli:main" in entry_points
    assert "rollway = rollway.cli:main" in entry_points


@pytest.mark.parametrize("backend", ["nginx", "istio", "smi", "gateway"])
def test_the_wheel_sets_a_weight_with_each_backend(backend: str, unpacked: Path, tmp_path: Path) -> None:
    """What is installed has all that it needs, as templates and schemas."""
    shutil.copytree(ROOT / "examples" / "shop" / backend, tmp_path / "shop")
    program = "import rollway; assert 'unpacked' in rollway.__file__; from rollway.cli import main; main()"
    words = ("-c", program, "set-weight", "shop", "20", "--dir", "shop")
    ran = python(*words, folder=tmp_path, PYTHONPATH=str(unpacked))
    assert ran.returncode == 0, ran.stderr


def test_the_wheel_hashes_a_pod_template(unpacked: Path, tmp_path: Path) -> None:
    """The table of Go's types is installed beside the code that reads it."""
    program = "from rollway.controller import hashes; print(hashes.__file__, hashes.steps_hash([]))"
    ran = python("-c", program, folder=tmp_path, PYTHONPATH=str(unpacked))
    assert "unpacked" in ran.stdout, ran.stderr
    assert ran.stdout.split()[-1] == "5f8cb5778f"


def test_the_installed_library_does_not_take_the_name_routers(unpacked: Path, tmp_path: Path) -> None:
    """`import routers` fails beside an installed rollway, or finds the application's own package of that name."""
    # Without the site packages, among which this environment has the repository itself.
    ran = python("-S", "-c", "import routers", folder=tmp_path, PYTHONPATH=str(unpacked))
    assert "No module named 'routers'" in ran.stderr
    (tmp_path / "routers").mkdir()
    (tmp_path / "routers" / "__init__.py").write_text("OWNER = 'application'\n")
    program = "import routers, rollway.routers as ours; assert ours.TrafficRouter; print(routers.OWNER)"
    ran = python("-c", program, folder=tmp_path, PYTHONPATH=f"{tmp_path}{os.pathsep}{unpacked}")
    assert ran.stdout == "application\n", ran.stderr


def test_the_folder_of_the_repository_is_not_imported_by_its_own_name() -> None:
    """In the repository `import routers` is an error that names the right import, and no second copy of the library."""
    ran = run(sys.executable, "-c", "import routers")
    assert "this package is rollway.routers" in ran.stderr


def test_an_editable_install_imports_the_files_of_the_repository() -> None:
    """`rollway.routers.x` of this environment is the file `routers/x.py`, so that an edit takes effect at once."""
    for name in ("weights", "model", "stores.directory"):
        file = importlib.import_module(f"rollway.routers.{name}").__file__
        assert file is not None
        assert Path(file).resolve() == (ROOT / "routers" / f"{name.replace('.', '/')}.py").resolve()


@pytest.mark.slow
@pytest.mark.uncovered
def test_the_dockerfile_copies_all_that_an_install_needs(tmp_path: Path) -> None:
    """What its COPY lines name is not ignored by Docker, and pip can build rollway from that alone."""
    copied = [
        name
        for line in re.findall(
            r"^COPY (?!--from)(.*) /source\S*$", (ROOT / "Dockerfile").read_text(), re.MULTILINE
        )
        for name in line.split()
    ]
    sent = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert sorted(copied) == sorted(sent)
    source = tmp_path / "source"
    source.mkdir()
    for name in copied:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, symlinks=True)
        else:
            shutil.copy(ROOT / name, source / name)
    words = ("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, source)
    ran = python(*words)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert {f"rollway/{name}" for name in SOURCES} <= set(names(next(tmp_path.glob("*.whl"))))


def test_editors_find_the_library_under_its_name() -> None:
    """The engine behind completion and "go to definition" of many editors follows the link, and completes its names."""
    jedi = pytest.importorskip(
        "jedi", reason="it comes with the group `test`: rm .venv/ready && make .venv/ready"
    )
    project = jedi.Project(ROOT, environment_path=sys.prefix)
    script = jedi.Script("from rollway.routers.weights import Split\nSplit\n", project=project)
    (definition,) = script.goto(2, 1, follow_imports=True)
    assert definition.full_name == "rollway.routers.weights.Split"
    assert definition.module_path.resolve() == (ROOT / "routers" / "weights.py").resolve()
    completed = jedi.Script("from rollway.routers import Tra", project=project).complete()
    assert "TrafficRouter" in [name.name for name in completed]


def test_coverage_reports_each_file_of_the_library_once(tmp_path: Path) -> None:
    """The lines of `routers/` are counted under that name, whichever name they were imported by."""
    script = tmp_path / "script.py"
    script.write_text("import rollway.routers.weights\n")
    data = str(tmp_path / "data")
    assert python("-m", "coverage", "run", script, COVERAGE_FILE=data).returncode == 0
    assert python("-m", "coverage", "combine", "--quiet", tmp_path, COVERAGE_FILE=data).returncode == 0
    assert (
        python("-m", "coverage", "json", "--quiet", "-o", tmp_path / "json", COVERAGE_FILE=data).returncode
        == 0
    )
    reported = json.loads((tmp_path / "json").read_text())["files"]
    ours = [name for name in reported if "routers" in name]
    assert "routers/weights.py" in ours
    assert len(ours) == len(set(ours))
    assert set(ours) <= SOURCES


def patterns() -> Sequence[str]:
    """Return the patterns of files for which the Makefile sets a threshold."""
    listed = re.findall(r"^CLUSTER_CODE := (.*)$|--include='([^'$]+)'", MAKEFILE, re.MULTILINE)
    return [pattern for pair in listed for group in pair if group for pattern in group.split(",")]


@pytest.mark.parametrize("pattern", patterns())
def test_thresholds_of_coverage_measure_files_that_exist(pattern: str) -> None:
    """A pattern of the Makefile that matches no file would set a threshold for nothing."""
    assert any(file.suffix == ".py" for file in ROOT.glob(pattern.replace("/*", "/**/*")))


def test_import_linter_sees_the_library_through_the_link(tree: Path) -> None:
    """A forbidden import in a file of `routers/` breaks a contract."""
    file = tree / "routers" / "weights.py"
    file.write_text(f"{file.read_text()}\nimport jinja2\n")
    ran = run(Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo", folder=tree)
    assert ran.returncode == 1, ran.stdout
    assert "rollway.routers.weights -> jinja2" in ran.stdout


@pytest.mark.slow
@pytest.mark.uncovered
def test_mypy_sees_the_library_through_the_link(tree: Path) -> None:
    """A wrong type in a file of `routers/` is reported once."""
    file = tree / "routers" / "weights.py"
    file.write_text(f'{file.read_text()}\nWRONG: int = "text"\n')
    known = ROOT / os.environ.get("MYPY_CACHE_DIR", ".mypy_cache")
    if known.exists():
        # `make gates` has checked everything else already.
        shutil.copytree(known, tree / "cache")
    ran = python("-m", "mypy", "rollway/routers/weights.py", "--cache-dir", tree / "cache", folder=tree)
    assert ran.stdout.count("Incompatible types in assignment") == 1, ran.stdout


def test_ruff_refuses_the_name_routers(tree: Path) -> None:
    """Code of the project cannot import the library by a second name, under which its classes would be others."""
    (tree / "tests").mkdir()
    (tree / "tests" / "test_x.py").write_text('"""Test."""\n\nfrom routers import weights  # noqa: F401\n')
    ran = python("-m", "ruff", "check", "--no-cache", "--select", "TID", folder=tree)
    assert "`routers` is banned: import rollway.routers" in ran.stdout, ran.stdout
