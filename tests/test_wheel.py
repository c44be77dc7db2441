"""The wheel in an environment without the checkout: one import name, whatever a user's folder holds."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUITE = """
version = 1
[[tasks]]
name = "small"
system = "fa"
shapes = [[3]]
s = [0.1]
times = [0.1]
architectures = ["bernoulli"]
tracker_options = {dt = 0.1, samples = 20, epochs = 5, first_epochs = 5, order = 1, full_summation = false}
seeds = 3
"""
HOSTILE = "raise ImportError('this file is the user's own, not a part of vanbench')\n"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (found,) = folder.glob("vanbench-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``bin`` of an environment that has the wheel, and the dependencies of this one, but not this checkout."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    place = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    # Only the path: the file that makes the checkout importable there (an editable installation) is not read.
    (place / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--force-reinstall", wheel], check=True, capture_output=True)
    return folder / "bin"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A user's folder with modules of the names of our packages, and a test."""
    for name in ("exact.py", "compare.py"):
        (tmp_path / name).write_text(HOSTILE)
    (tmp_path / "neural").mkdir()
    (tmp_path / "neural" / "__init__.py").write_text(HOSTILE)
    (tmp_path / "test_mine.py").write_text("def test_mine():\n    pass\n")
    (tmp_path / "small.toml").write_text(SUITE)
    return tmp_path


def call(*command: object, cwd: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_one_package_and_its_data(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"vanbench"}
    for needed in ("py.typed", "compare/declare/suites/ci.toml", "compare/show/templates/report.html"):
        assert f"vanbench/{needed}" in names


def test_every_command_works_beside_hostile_names(installed, hostile):
    assert "1 passed" in call(installed / "python", "-m", "pytest", "-p", "no:cacheprovider", cwd=hostile)
    plugin = ("-p", "no:cacheprovider", "--vanbench-suite", "small.toml", "--vanbench-out", "tested")
    assert "1 passed" in call(installed / "python", "-m", "pytest", *plugin, cwd=hostile)
    call(installed / "vanbench", "run", "small.toml", "--out", "run", "-j", "2", "-q", cwd=hostile)
    call(installed / "vanbench", "gate", "run", "--write", "baseline.json", cwd=hostile)
    assert "no worse" in call(installed / "vanbench", "gate", "run", "--baseline", "baseline.json", cwd=hostile)
    where = "import vanbench as vb; print(vb.__file__, vb.solve(vb.build('fa', (3,), c=0.5), 0.1).value[0])"
    assert str(installed.parent) in call(installed / "python", "-c", where, cwd=hostile)
    assert "vanbench" in call(installed / "python", "-m", "vanbench", "--version", cwd=hostile)
