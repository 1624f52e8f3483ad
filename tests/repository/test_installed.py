"""The built wheel, in an environment that has nothing but what the lock names, serves an answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], check=False, capture_output=True, text=True, timeout=300, **options)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a fresh environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("installed")
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    assert run(sys.executable, "-m", "venv", folder / "venv").returncode == 0
    python = folder / "venv" / "bin" / "python"
    pip = (python, "-m", "pip", "install", "-qq", "--disable-pip-version-check")
    locked = run(*pip, "--require-hashes", "-r", ROOT / "requirements.lock")
    if locked.returncode != 0:
        pytest.skip(f"the packages of the lock cannot be had here: {locked.stderr.strip()[-200:]}")
    (wheel,) = folder.glob("*.whl")
    assert run(*pip, "--no-deps", wheel).returncode == 0
    return python.parent


def test_the_wheel_serves_an_answer_from_an_empty_environment(installed: Path, tmp_path: Path):
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), "ANTIPHON_DISCOVERY": "0"}
    command = [installed / "antiphon", "serve", "--port", "0", "--data", tmp_path / "data"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tmp_path, env=environment, text=True
    ) as server:
        assert server.stdout is not None
        first = server.stdout.readline()
        try:
            url = first.rpartition(" at ")[2].strip()
            body = json.dumps({"model": "rehearsal", "input": "What are you?"}).encode()
            request = urllib.request.Request(
                f"{url}/responses", data=body, headers={"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                response = json.load(answer)
        finally:
            server.terminate()
            rest = server.stdout.read()
    assert response["status"] == "completed", first + rest
    assert response["model"] == "rehearsal"
    assert server.returncode == 0, rest
