"""mypy and pyright, both strict, accept every program of `examples`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import antiphon

EXAMPLES = Path(__file__).parents[2] / "examples"
SOURCES = Path(antiphon.__file__).parents[1]


def test_mypy_accepts_the_examples(tmp_path: Path):
    options = ["--strict", "--scripts-are-modules", "--cache-dir", str(tmp_path), "--config-file", ""]
    files = sorted(map(str, EXAMPLES.glob("*.py")))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *files],
        capture_output=True,
        text=True,
        check=False,
        env={"MYPYPATH": str(SOURCES)},
    )
    assert "Success" in done.stdout, done.stdout + done.stderr


def test_pyright_accepts_the_examples(tmp_path: Path):
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    settings = {"include": ["examples"], "extraPaths": [str(SOURCES)], "typeCheckingMode": "strict"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    wrong = [each for each in found["generalDiagnostics"] if each["severity"] == "error"]
    lines = [f"{each['file']}:{each['range']['start']['line'] + 1}: {each['message']}" for each in wrong]
    assert not lines, "\n".join(lines)
    assert found["summary"]["filesAnalyzed"] == len(list(EXAMPLES.glob("*.py")))
