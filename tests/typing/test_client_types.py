"""mypy and pyright, both strict, accept what is right and refuse every line that is wrong."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import antiphon

HERE = Path(__file__).parent
SOURCES = Path(antiphon.__file__).parents[1]
_MYPY = re.compile(r"^(?P<file>.+?):(?P<line>\d+): error: (?P<message>.*)$", re.MULTILINE)


def mypy(file: Path, folder: Path) -> dict[int, str]:
    """The errors of a file by their lines."""
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder), "--config-file", "", str(file)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env={"MYPYPATH": str(SOURCES)}
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return {int(found["line"]): found["message"] for found in _MYPY.finditer(done.stdout) if file.name in found["file"]}


def pyright(file: Path, folder: Path) -> dict[int, str]:
    """The errors of a file by their lines."""
    shutil.copy(file, folder)
    settings = {"include": ["."], "extraPaths": [str(SOURCES)], "typeCheckingMode": "strict"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {each["range"]["start"]["line"] + 1: each["message"] for each in found if each["severity"] == "error"}


def marked(file: Path) -> set[int]:
    return {number for number, line in enumerate(file.read_text().splitlines(), 1) if line.endswith("# wrong")}


@pytest.mark.parametrize("check", [mypy, pyright])
@pytest.mark.parametrize("name", ["client", "chat", "parts"])
def test_what_is_right_is_accepted(check, name, tmp_path):
    assert check(HERE / f"{name}_right.py", tmp_path) == {}


@pytest.mark.parametrize("check", [mypy, pyright])
@pytest.mark.parametrize("name", ["client", "chat", "parts"])
def test_what_is_wrong_is_refused_line_by_line(check, name, tmp_path):
    file = HERE / f"{name}_wrong.py"
    assert check(file, tmp_path).keys() == marked(file)
