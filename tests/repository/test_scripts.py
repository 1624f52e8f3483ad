"""The scripts: an environment is made once, renewed when a lock changes, and no key of the user reaches a test."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import conftest
from tests.repository.listing import ROOT

PYTHON = """#!/usr/bin/env bash
# Stands in for Python: writes down each call, and makes an environment whose interpreter is itself.
case "$*" in
    -c*) exit "${UNSUITABLE:-0}" ;;
    "-m venv "*)
        echo venv >>"$LOG"
        mkdir -p .venv/bin && cp "$0" .venv/bin/python && echo "VIRTUAL_ENV=$PWD/.venv" >.venv/bin/activate ;;
    "-m pip --version") ;;
    "-m pip install "*) echo "install ${*: -1}" >>"$LOG" ;;
    "-m pytest"*) env && echo "ARGUMENTS $*" ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with our scripts and locks, in which `python` is the stand-in."""
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        (folder / name).write_text(f"{name}\n")
    python = tmp_path / "python"
    python.write_text(PYTHON)
    python.chmod(0o755)
    return folder


def run(folder: Path, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    stand_in = {"PYTHON": str(folder.parent / "python"), "LOG": str(folder.parent / "log")}
    command = [str(folder / "scripts" / script), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | stand_in | environment)


def setup(folder: Path, kind: str = "runtime") -> list[str]:
    """Run `scripts/setup` and return what it had Python do."""
    log = folder.parent / "log"
    log.write_text("")
    completed = run(folder, "setup", kind)
    assert completed.returncode == 0, completed.stderr
    return log.read_text().splitlines()


def test_the_first_setup_makes_the_environment_and_the_second_does_nothing(clone: Path) -> None:
    assert setup(clone) == ["venv", "install requirements.lock", "install ."]
    assert setup(clone) == []


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_a_changed_lock_or_project_is_installed_again_into_the_same_environment(clone: Path, name: str) -> None:
    setup(clone)
    (clone / name).write_text("changed\n")
    assert setup(clone) == ["install requirements.lock", "install ."]


def test_a_moved_clone_gets_a_new_environment(clone: Path) -> None:
    setup(clone)
    moved = clone.rename(clone.with_name("moved"))
    assert setup(moved) == ["venv", "install requirements.lock", "install ."]


def test_the_development_environment_includes_the_runtime(clone: Path) -> None:
    assert setup(clone, "dev") == ["venv", "install requirements-dev.lock", "install ."]
    assert setup(clone, "runtime") == []


def test_the_runtime_does_not_include_the_development_environment(clone: Path) -> None:
    setup(clone, "runtime")
    assert setup(clone, "dev") == ["install requirements-dev.lock", "install ."]


def test_an_interrupted_installation_is_taken_up_again(clone: Path) -> None:
    setup(clone)
    (clone / ".venv" / "installed-runtime").unlink()
    assert setup(clone) == ["install requirements.lock", "install ."]


def test_without_a_suitable_python_the_message_says_what_is_needed(clone: Path) -> None:
    completed = run(clone, "setup", UNSUITABLE="1")
    assert completed.returncode == 1
    assert "Python 3.11 or newer" in completed.stderr
    assert "python3-venv" in completed.stderr


def test_serve_hands_its_arguments_to_the_command(clone: Path) -> None:
    setup(clone)
    command = clone / ".venv" / "bin" / "antiphon"
    command.write_text('#!/usr/bin/env bash\nprintf "<%s>" "$@"\n')
    command.chmod(0o755)
    assert run(clone, "serve", "--port", "0", "two words").stdout == "<serve><--port><0><two words>"


KEYS = {"OPENAI_BASE_URL": "x", "ANTHROPIC_AUTH_TOKEN": "x", "ANTIPHON_API_KEY": "x", "MISTRAL_API_KEY": "x"}


def test_the_test_script_hides_the_keys_of_the_user_but_not_where_node_is(clone: Path) -> None:
    setup(clone, "dev")
    output = run(clone, "test", "-k", "sse", ANTIPHON_NODE="/bin/node", **KEYS).stdout.splitlines()
    assert "ANTIPHON_NODE=/bin/node" in output
    assert "ARGUMENTS -m pytest -k sse" in output
    assert [line for line in output if line.partition("=")[0] in KEYS] == []


def test_a_bare_pytest_hides_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (KEYS | {"ANTIPHON_CODEX": "/bin/codex"}).items():
        monkeypatch.setenv(name, value)
    conftest.forget_keys()
    assert KEYS.keys() & os.environ.keys() == set()
    assert os.environ["ANTIPHON_CODEX"] == "/bin/codex"
