"""Keys from a file or a command, which may change while the server runs."""

import os
import sys

import pytest

from antiphon.config.keys import KEPT, KeyCommand, KeyFile, NoKey, key_at_hand, key_now, key_source
from antiphon.config.settings import Keyed, Secret

pytestmark = pytest.mark.anyio


def printing(text: str) -> list[str]:
    return [sys.executable, "-c", f"print({text!r})"]


async def test_a_key_in_the_settings_is_itself():
    assert key_source(Keyed(api_key=Secret("k"))) == "k"
    assert key_source(Keyed()) is None
    assert await key_now(Keyed()) is None


def test_a_file_is_read_again_when_it_has_changed(tmp_path):
    path = tmp_path / "key"
    path.write_text("one\n")
    key = KeyFile(path)
    assert key() == "one"
    path.write_text("another\n")
    assert key() == "another"


def test_a_file_that_was_replaced_by_one_of_the_same_size_is_read_again(tmp_path):
    path = tmp_path / "key"
    path.write_text("one")
    key = KeyFile(path)
    key()
    other = tmp_path / "other"
    other.write_text("two")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    assert key() == "two"


def test_a_missing_or_empty_file_is_unavailable_and_its_path_is_not_told_to_clients(tmp_path):
    path = tmp_path / "key"
    with pytest.raises(NoKey) as caught:
        KeyFile(path)()
    assert str(path) in caught.value.reason
    assert str(path) not in caught.value.message
    path.write_text(" \n")
    with pytest.raises(NoKey, match="cannot be had") as caught:
        KeyFile(path)()
    assert "empty" in caught.value.reason


async def test_a_commands_key_is_kept_for_a_while_and_then_asked_for_again(tmp_path):
    counter = tmp_path / "count"
    script = f"p={str(counter)!r}; open(p,'a').write('x'); print('key', len(open(p).read()))"
    now = 0.0
    key = KeyCommand([sys.executable, "-c", script], monotonic=lambda: now)
    assert await key() == "key 1"
    now = KEPT - 1
    assert await key() == "key 1"
    now = KEPT
    assert await key() == "key 2"


async def test_a_command_may_be_written_as_one_text():
    assert await KeyCommand(f"{sys.executable} -c 'print(\"a b\")'")() == "a b"


async def test_a_command_that_fails_is_unavailable_and_what_it_said_is_not_told_to_clients():
    script = "import sys; sys.stderr.write('vault is locked'); print('half a key'); sys.exit(3)"
    with pytest.raises(NoKey) as caught:
        await KeyCommand([sys.executable, "-c", script])()
    assert "vault is locked" in caught.value.reason
    assert "vault" not in caught.value.message
    assert "half" not in caught.value.reason


async def test_a_command_that_does_not_exist_or_prints_nothing_is_unavailable():
    with pytest.raises(NoKey):
        await KeyCommand(["no-such-command-of-ours"])()
    with pytest.raises(NoKey):
        await KeyCommand(printing(""))()


def test_the_key_at_hand_of_a_command_is_asked_for_once(tmp_path):
    counter = tmp_path / "count"
    script = f"open({str(counter)!r},'a').write('x'); print('k')"
    key = key_at_hand(Keyed(api_key_command=(sys.executable, "-c", script)))
    assert [key(), key()] == ["k", "k"]
    assert counter.read_text() == "x"


def test_the_key_at_hand_of_a_file_must_be_there_at_once(tmp_path):
    with pytest.raises(NoKey):
        key_at_hand(Keyed(api_key_file=tmp_path / "key"))


async def test_while_the_server_runs_the_reason_is_logged_and_the_key_is_not(tmp_path, caplog):
    path = tmp_path / "key"
    path.write_text("sesame")
    read = key_source(Keyed(api_key_file=path))
    assert read() == "sesame"
    path.unlink()
    with pytest.raises(NoKey):
        read()
    run = key_source(Keyed(api_key_command=(sys.executable, "-c", "raise SystemExit('vault is locked')")))
    with pytest.raises(NoKey):
        await run()
    assert str(path) in caplog.text
    assert "vault is locked" in caplog.text
    assert "sesame" not in caplog.text
