"""What must be true of the repository itself: what ships, what is never written down, how long a function gets."""

import ast
import os
import re
import tomllib
from collections.abc import Iterator

import pytest

from tests.repository.listing import ROOT, listed


def texts() -> Iterator[tuple[str, str]]:
    """Name and text of every text file."""
    for name in listed():
        data = (ROOT / name).read_bytes()
        if b"\0" not in data:
            yield name, data.decode()


def functions() -> Iterator[tuple[str, int]]:
    """Place and length in lines of every function in src, decorators not counted."""
    for name in listed("src/*.py"):
        for node in ast.walk(ast.parse((ROOT / name).read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield f"{name}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1


# Written so that the patterns do not match this file.
FORBIDDEN = {
    "a machine's path": r"(?<![\w.$}])/(roo[t]|wor[k]|User[s]|home/(?!app\b|user\b)\w+|opt/pyp[i])/",
    "a registry's host": r"\b(pypi\.or[g]|pythonhosted\.or[g]|registry\.npmj[s]|npmmirror\.co[m])",
    "a key": r"\b(sk-(proj-)?[A-Za-z0-9_]{32,}|gh[pousr]_[A-Za-z0-9]{36}|AKIA[0-9A-Z]{16})\b",
    "a private key": r"BEGIN [A-Z ]*PRIVATE KE[Y]",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names_what_belongs_to_one_machine_or_person(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    assert [f"{name}: {found.group()}" for name, text in texts() for found in pattern.finditer(text)] == []


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("a machine's path", "see /home" + "/alice/notes"),
        ("a machine's path", "cd /wor" + "k/main"),
        ("a registry's host", "https://files.pythonhosted." + "org/packages"),
        ("a key", "OPENAI_API_KEY=sk-" + "proj-" + "a1B2" * 10),
    ],
)
def test_the_search_finds_what_it_looks_for(what: str, text: str) -> None:
    assert re.search(FORBIDDEN[what], text)


def test_every_function_is_under_60_lines() -> None:
    assert [f"{place}: {length}" for place, length in functions() if length >= 60] == []


def test_every_source_file_is_under_700_lines() -> None:
    lengths = {name: (ROOT / name).read_text().count("\n") for name in listed("src/*.py")}
    assert {name: length for name, length in lengths.items() if length >= 700} == {}


def test_every_script_is_executable_and_names_its_interpreter() -> None:
    scripts = listed("scripts", ".ci")
    assert {"scripts/serve", "scripts/test", "scripts/check", ".ci/run"} <= set(scripts)
    assert [name for name in scripts if not os.access(ROOT / name, os.X_OK)] == []
    assert [name for name in scripts if not (ROOT / name).read_bytes().startswith(b"#!/usr/bin/env ")] == []


LOCKS = ("requirements.lock", "requirements-dev.lock")


def pins(lock: str) -> dict[str, str]:
    """Version by name, as a lock file pins them."""
    return dict(re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", (ROOT / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_each_package_with_hashes_and_names_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text()
    entries = re.findall(r"^[^\s#][^\n]*(?:\n[ ]+[^\n]*)*", text, re.MULTILINE)
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []
    assert len(entries) == len(pins(lock)) > 20
    assert "://" not in text


def test_the_lock_has_every_dependency_that_the_project_declares() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.split(r"[>=; ]", dependency)[0] for dependency in declared} <= pins("requirements.lock").keys()


def test_the_development_lock_agrees_with_the_runtime_lock() -> None:
    runtime, development = (pins(lock) for lock in LOCKS)
    assert {name: development.get(name) for name in runtime} == runtime
