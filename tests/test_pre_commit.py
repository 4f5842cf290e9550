"""The pre-commit hook runs in a repository of manifests, as its users have it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytest.importorskip("pre_commit", reason="it comes with the group `test`: rm .venv/ready && make .venv/ready")


def git(folder: Path, *words: str) -> None:
    """Run git in a folder, with no settings of this machine."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    subprocess.run(["git", *identity, *words], cwd=folder, env=environment, check=True, capture_output=True)


@pytest.mark.slow
def test_the_hook_lints_the_repository_that_uses_it(tmp_path: Path) -> None:
    """`pre-commit try-repo` installs the hook from this repository; it passes the examples and reports a fault."""
    repository = tmp_path / "repository"
    shutil.copytree(ROOT / "examples" / "shop" / "istio", repository / "deploy")
    git(repository, "init", "--quiet")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "start")
    try_repo = [sys.executable, "-m", "pre_commit", "try-repo", str(ROOT), "rollway-lint"]
    environment = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "hooks")}

    def run() -> subprocess.CompletedProcess[str]:
        words = [*try_repo, "--files", "deploy/rollout.yaml", "--verbose"]
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
