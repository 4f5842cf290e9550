"""The pre-commit hook runs in a repository of manifests, as its users have it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytest.importorskip("pre_commit", reason="it comes with the group `test`: rm .venv/ready && make .venv/ready")


def git(folder: Path, *words: str) -> str:
    """Run git in a folder, with no settings of this machine, and return what it prints."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    command = ["git", *identity, *words]
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit_all(folder: Path) -> str:
    """Make a repository of a folder, and return the commit that has all of its files."""
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "start")
    return git(folder, "rev-parse", "HEAD")


def copy_sources(target: Path) -> None:
    """Copy the files of this repository as they are now, also where they are not committed."""
    for name in git(ROOT, "ls-files").splitlines():
        if (ROOT / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name, follow_symlinks=False)


@pytest.mark.slow
@pytest.mark.uncovered
def test_the_hook_lints_the_repository_that_uses_it(tmp_path: Path) -> None:
    """pre-commit installs the hook from this repository; it passes the examples and reports a fault."""
    hooks, repository = tmp_path / "hooks", tmp_path / "repository"
    copy_sources(hooks)
    used = {"repo": str(hooks), "rev": commit_all(hooks), "hooks": [{"id": "rollway-lint"}]}
    shutil.copytree(ROOT / "examples" / "shop" / "istio", repository / "deploy")
    (repository / ".pre-commit-config.yaml").write_text(json.dumps({"repos": [used]}))
    commit_all(repository)
    # Compiling all modules of the dependencies takes longer than the few that `lint` imports; to pip, 0 means not to.
    environment = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "installed"), "PIP_NO_COMPILE": "0"}

    def run() -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "pre_commit", "run", "--files", "deploy/rollout.yaml", "--verbose"]
        return subprocess.run(
            words, cwd=repository, env=environment, capture_output=True, text=True, check=False
        )

    ran = run()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "0 faults" in ran.stdout
    manifest = repository / "deploy" / "rollout.yaml"
    manifest.write_text(
        manifest.read_text().replace("canaryService: shop-canary", "canaryService: shop-canry")
    )
    ran = run()
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "deploy/" in ran.stdout
    assert "shop-canry" in ran.stdout
