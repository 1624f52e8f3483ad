"""The commands against a running server."""

import json
import os
import re
import signal
import subprocess

import pytest

from antiphon import __version__
from antiphon.cli.replay import READABLE, USUAL, pace, speed_of
from tests.cli.conftest import COMMAND, serving, surroundings

RESPONSE_ID = re.compile(r"resp_[0-9a-f]{40}")


@pytest.fixture
def ask(antiphon, server):
    return lambda *words, **more: antiphon("ask", "--base-url", server.base_url, *words, **more)


def test_the_version_is_printed(antiphon):
    assert antiphon("--version").stdout == f"antiphon {__version__}\n"


def test_no_command_shows_the_help(antiphon):
    assert "Start with: antiphon serve" in antiphon().output


@pytest.mark.parametrize("command", ["serve", "ask", "models", "replay", "status", "doctor", "connect"])
def test_the_help_of_each_command_has_examples(antiphon, command):
    help_text = antiphon(command, "--help").stdout
    assert f"\n  antiphon {command}" in help_text
    assert "\x1b" not in help_text


def test_a_mistyped_command_is_a_wrong_command(antiphon):
    assert antiphon("aks").exit_code == 2


# ask


def test_the_answer_goes_to_stdout_and_its_id_to_stderr(ask):
    done = ask("What is 2+3?")
    assert done.exit_code == 0
    assert "2+3 = 5" in done.stdout
    assert not RESPONSE_ID.search(done.stdout)
    assert RESPONSE_ID.search(done.stderr)
    assert "model: rehearsal" in done.stderr


def test_what_is_piped_in_comes_after_the_question_or_is_the_question(ask, antiphon, server):
    for words, stdin in ((["What is"], "2+3?"), ([], "What is 2+3?")):
        assert "2+3 = 5" in ask(*words, stdin=stdin).stdout


def test_nothing_to_ask_is_a_wrong_command(ask):
    done = ask()
    assert done.exit_code == 2
    assert "nothing to ask" in done.stderr


def test_each_event_is_shown_on_a_line(ask):
    lines = ask("--events", "Hello").stdout.splitlines()
    numbers = [int(line.split()[0]) for line in lines]
    assert numbers == list(range(len(lines)))
    kinds = [line.split()[1] for line in lines]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")


def test_events_and_the_response_may_be_json(ask):
    events = [json.loads(line) for line in ask("--events", "--json", "Hello").stdout.splitlines()]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    response = json.loads(ask("--json", "Hello").stdout)
    assert (response["object"], response["status"]) == ("response", "completed")


def test_a_response_goes_on_from_a_previous_one_with_instructions(ask):
    first = RESPONSE_ID.search(ask("My cat is called Zorro.").stderr)[0]
    done = ask("--previous", first, "--instructions", "Be brief.", "--json", "And now?")
    response = json.loads(done.stdout)
    assert (response["previous_response_id"], response["instructions"]) == (first, "Be brief.")


def test_a_background_answer_is_followed_to_its_end(ask):
    done = ask("--background", "--json", "What is 2+3?")
    response = json.loads(done.stdout)
    assert (response["background"], response["status"]) == (True, "completed")


def test_what_does_not_complete_is_a_failure(ask):
    refused = ask("#fault 429")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("model: rehearsal\nantiphon: ")
    failed = ask("#fault cut after=3")
    assert failed.exit_code == 1
    assert " failed (server_error: " in failed.stderr
    incomplete = ask("#fault incomplete")
    assert incomplete.exit_code == 1
    assert " incomplete (max_output_tokens)" in incomplete.stderr


def test_an_unknown_previous_response_is_told_in_the_servers_words(ask):
    done = ask("--previous", "resp_none", "Hello")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "Previous response with id 'resp_none' not found." in done.stderr


def test_where_no_server_runs_the_way_to_start_one_is_told(antiphon):
    done = antiphon("ask", "--base-url", "http://127.0.0.1:9/v1", "Hello")
    assert done.exit_code == 1
    assert "no server answers at http://127.0.0.1:9/v1" in done.stderr
    assert "antiphon serve" in done.stderr


def test_what_is_no_address_is_a_wrong_command(antiphon):
    done = antiphon("ask", "--base-url", "localhost:8484", "Hello")
    assert done.exit_code == 2
    assert "expected an address" in done.stderr


def started(tmp_path, *arguments, **environ):
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=tmp_path,
        env={**surroundings(tmp_path), **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )


@pytest.mark.parametrize("background", [False, True])
def test_ctrl_c_ends_it_cleanly_and_a_background_response_goes_on(tmp_path, server, background):
    more = ["--background"] if background else []
    asking = started(tmp_path, "ask", "--base-url", server.base_url, *more, "#pace 20ms\n#tokens 10000")
    assert asking.stdout.read(1)
    asking.send_signal(signal.SIGINT)
    error = asking.communicate(timeout=20)[1].decode()
    assert asking.returncode == 130
    assert "Traceback" not in error
    assert ("antiphon replay resp_" in error) == background
    if background:
        cancel(server, RESPONSE_ID.search(error)[0])


def cancel(server, response_id: str) -> None:
    from antiphon.cli.api import Address, Api

    list(Api(Address(server.base_url, None)).stream("POST", f"/responses/{response_id}/cancel", {}))


def test_a_reader_that_goes_away_is_no_traceback(tmp_path, server):
    asking = started(tmp_path, "ask", "--base-url", server.base_url, "#pace 5ms\n#tokens 10000")
    asking.stdout.read(1)
    asking.stdout.close()
    assert "Traceback" not in asking.stderr.read().decode()
    asking.stderr.close()
    assert asking.wait(20) != 0


def test_a_background_answer_survives_the_death_of_the_server(tmp_path):
    with serving(tmp_path) as server:
        asking = started(
            tmp_path, "ask", "--base-url", server.base_url, "--background", "--events", "#pace 10ms\n#tokens 100"
        )
        for _ in range(20):
            asking.stdout.readline()
        server.stop(signal.SIGKILL)
        with serving(tmp_path, "--port", str(server.port)):
            out, error = asking.communicate(timeout=60)
    assert asking.returncode == 0, error.decode()
    numbers = [int(line.split()[0]) for line in out.decode().splitlines()]
    assert numbers == list(range(20, 20 + len(numbers)))


# models, replay


def test_the_models_of_the_running_server_are_listed(antiphon, server):
    done = antiphon("models", "--base-url", server.base_url)
    assert done.stdout == "ID         OWNED_BY\nrehearsal  antiphon\n"
    assert server.base_url in done.stderr
    listed = json.loads(antiphon("models", "--base-url", server.base_url, "--json").stdout)
    assert listed == {"source": server.base_url, "data": [{"id": "rehearsal", "owned_by": "antiphon"}]}


def test_where_no_server_runs_the_models_of_the_configuration_are_listed(antiphon, tmp_path):
    (tmp_path / "antiphon.toml").write_text(
        '[server]\nport = 9\n[models."gpt-5"]\nbackend = "chat_completions"\nbase_url = "http://h/v1"\nmodel = "qwen3"'
    )
    done = antiphon("models")
    assert done.stdout.splitlines() == [
        "ID         BACKEND           MODEL  BASE_URL",
        "gpt-5      chat_completions  qwen3  http://h/v1",
        "rehearsal  rehearsal",
    ]
    assert "antiphon.toml" in done.stderr
    assert antiphon("models", "--config", "antiphon.toml").stdout == done.stdout
    assert antiphon("models", "--base-url", "http://127.0.0.1:9/v1").exit_code == 1


def test_a_stored_response_is_told_again_word_for_word(antiphon, server, ask):
    asked = ask("--events", "What is 2+3?")
    response_id = RESPONSE_ID.search(asked.stderr)[0]
    replay = ("replay", "--base-url", server.base_url, response_id)
    assert antiphon(*replay, "--events", "--fast").stdout == asked.stdout
    assert "2+3 = 5" in antiphon(*replay, "--speed", "100000").stdout
    assert json.loads(antiphon(*replay, "--fast", "--json").stdout)["id"] == response_id


def test_an_unknown_response_cannot_be_replayed(antiphon, server):
    done = antiphon("replay", "--base-url", server.base_url, "resp_none")
    assert done.exit_code == 1
    assert "not found" in done.stderr


def test_a_replay_is_as_fast_as_the_answer_was_within_what_can_be_read():
    def taking(seconds: int, tokens: int) -> float:
        return speed_of({"created_at": 100, "completed_at": 100 + seconds, "usage": {"output_tokens": tokens}})

    assert taking(10, 500) == 50
    assert taking(10, 5) == READABLE[0]
    assert taking(0, 5000) == READABLE[1]
    assert speed_of({"created_at": 100, "completed_at": None, "usage": None}) == USUAL


def test_a_replay_waits_before_each_delta_and_nothing_else():
    waits: list[float] = []
    wait = pace(20, waits.append)
    for event in ({"type": "response.created"}, {"type": "x.delta", "delta": "a"}, {"type": "x.done", "text": "a"}):
        wait(event)
    assert waits == [0.05]


def test_colours_are_for_terminals_only(ask):
    assert "\x1b" not in ask("--events", "Hello").output


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="a terminal of our own is a matter of Unix")
@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_a_terminal_gets_colours_unless_it_asks_for_none(tmp_path, environ, coloured):
    main, terminal = os.openpty()
    env = {**surroundings(tmp_path), "TERM": "xterm", **environ}
    subprocess.run([*COMMAND, "connect"], cwd=tmp_path, env=env, stdout=terminal, check=True)
    os.close(terminal)
    assert (b"\x1b[" in os.read(main, 65536)) == coloured
    os.close(main)
