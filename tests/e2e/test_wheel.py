"""The wheel, installed elsewhere, works from another folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import yaml

from indexer.profiles import Profile, profile_data
from tests.pictures import write_scene

PROJECT = Path(__file__).parents[2]


def test_the_wheel_has_everything(tmp_path: Path, fast_profile: Profile) -> None:
    environment = _installed(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    write_scene(elsewhere / "photos" / "x.png", 1)
    profile = yaml.safe_dump(profile_data(fast_profile))
    (elsewhere / "fast.yaml").write_text(profile, encoding="utf-8")

    def run(*command: str) -> str:
        done = subprocess.run(
            [environment / "bin" / command[0], *command[1:]],
            cwd=elsewhere,
            check=True,
            capture_output=True,
            text=True,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        )
        return done.stdout

    where = "import indexer.profiles as p; print(p.configs_dir(), p.profile_names())"
    assert run("python", "-c", where) == (
        f"{_site(environment)}/indexer/configs ['balanced', 'demo', 'fast', 'quality']\n"
    )
    assert "Usage: index" in run("index", "--help")
    run("index", "photos", "--profile", "fast.yaml", "--index", "idx")
    status = json.loads(run("segsearch", "status", "--index", "idx", "--format", "json"))
    assert (status["images"], status["failed"]) == (1, 0)
    assert "Usage: search" in run("search", "--help")
    served = "import search.api.routes.page as p; print(sorted(x.name for x in p._WEB.iterdir()))"
    assert "index.html" in run("python", "-c", served)


def _installed(tmp_path: Path) -> Path:
    """Build the wheel and install it, alone, into an environment that has its dependencies."""
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build: list[str | Path] = [
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        tmp_path,
        PROJECT,
    ]
    subprocess.run([*pip, *build], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("segsearch-*.whl")
    environment = tmp_path / "environment"
    venv: list[str | Path] = [sys.executable, "-m", "venv", "--without-pip", environment]
    subprocess.run(venv, check=True)
    subprocess.run(
        [*pip, "--python", environment, "install", "--no-deps", wheel],
        check=True,
        capture_output=True,
    )
    # a folder named in a .pth file is searched last, and its own .pth files (such as that of an
    # editable install) are not read
    ours = sysconfig.get_paths()["purelib"]
    (_site(environment) / "dependencies.pth").write_text(ours, encoding="utf-8")
    return environment


def _site(environment: Path) -> Path:
    (site,) = environment.glob("lib/python*/site-packages")
    return site
