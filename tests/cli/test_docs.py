"""docs/command-line.md tells every command, option and client, and its examples are commands that exist."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from antiphon.cli.app import app
from antiphon.cli.clients import CLIENTS

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
COMMANDS = get_command(app).commands


def section(command: str) -> str:
    found = re.search(rf"^## antiphon {command}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section on {command}"
    return found[1]


def commands(command: str) -> dict[str, Any]:
    """The commands of a group by their names; a command alone."""
    found = COMMANDS[command]
    return found.commands if isinstance(found, TyperGroup) else {"": found}


def options(command: str) -> set[str]:
    """The long names of the options of a command, or of all in its group."""
    parameters = [one for each in commands(command).values() for one in each.params if one.param_type_name == "option"]
    return {next(name for name in one.opts if name.startswith("--")) for one in parameters} - {"--help"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_row(command):
    assert set(re.findall(r"^\| `(--[\w-]+)` \|", section(command), re.MULTILINE)) == options(command)


def test_every_client_has_a_row():
    assert re.findall(r"^\| `([\w-]+)` \|", section("connect"), re.MULTILINE)[: len(CLIENTS)] == list(CLIENTS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples_and_they_parse(command):
    (block,) = re.findall(r"```sh\n(.*?)```", section(command), re.DOTALL)
    shown = set()
    for line in block.splitlines():
        words = shlex.split(line.rpartition("| ")[2])
        words = words[words.index("antiphon") :]
        assert words[1] == command
        below = words[2] if isinstance(COMMANDS[command], TyperGroup) else ""
        commands(command)[below].make_context(command, words[3:] if below else words[2:])
        shown.add(below)
    assert shown == set(commands(command))
