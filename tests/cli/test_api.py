"""The commands' own client: whom it asks, with which key, and how it takes up a stream that broke."""

import json
from pathlib import Path

import pytest

from antiphon.cli.api import PATIENCE, Address, Api, ApiFailure, Cut, NoServer, address_of
from antiphon.config.load import load
from tests.config.fakes import Broken, FakeServer, serving


def api_of(server: FakeServer, key: str | None = None, waits: list[float] | None = None) -> Api:
    return Api(Address(server.base_url, key), sleep=(waits if waits is not None else []).append)


def event(number: int, kind: str = "response.output_text.delta", **fields: object) -> bytes:
    data = json.dumps({"type": kind, "sequence_number": number, **fields})
    return f"event: {kind}\ndata: {data}\n\n".encode()


CREATED = event(0, "response.created", response={"id": "resp_1", "status": "queued"})
COMPLETED = event(3, "response.completed", response={"id": "resp_1", "status": "completed"})
BACKGROUND = {"background": True}


def tail(after: int) -> str:
    return f"/v1/responses/resp_1?stream=true&starting_after={after}"


def numbers(events) -> list[int]:
    return [one["sequence_number"] for one in events]


# Where and with which key


def choose(folder: Path, base_url=None, api_key=None, text="", **environ) -> Address:
    (folder / "antiphon.toml").write_text(text)
    environ = {"HOME": "/", **environ}
    return address_of(base_url, api_key, environ, load(environ=environ, folder=folder))


def test_the_configuration_says_where_the_server_is_unless_something_else_does(tmp_path):
    assert choose(tmp_path) == ("http://127.0.0.1:8484/v1", None)
    assert choose(tmp_path, text="[server]\nport = 9")[0] == "http://127.0.0.1:9/v1"
    assert choose(tmp_path, text='[server]\nhost = "0.0.0.0"')[0] == "http://127.0.0.1:8484/v1"
    assert choose(tmp_path, text='[server]\nhost = "::1"')[0] == "http://[::1]:8484/v1"
    assert choose(tmp_path, OPENAI_BASE_URL="http://a/v1/")[0] == "http://a/v1"
    assert choose(tmp_path, "http://b/v1", OPENAI_BASE_URL="http://a/v1")[0] == "http://b/v1"


def test_each_address_has_the_key_that_belongs_to_it(tmp_path):
    both = {"ANTIPHON_API_KEY": "ours", "OPENAI_API_KEY": "theirs"}
    assert choose(tmp_path, "http://a/v1", **both)[1] == "ours"
    assert choose(tmp_path, OPENAI_BASE_URL="http://a/v1", **both)[1] == "theirs"
    assert choose(tmp_path, text='[server]\napi_key = "configured"')[1] == "configured"
    assert choose(tmp_path, "http://a/v1", "given", **both)[1] == "given"


def test_a_key_of_openai_is_not_sent_to_our_server_unasked(tmp_path):
    assert choose(tmp_path, OPENAI_API_KEY="theirs")[1] is None


def test_the_key_is_sent_as_a_bearer_token():
    with serving(v1_models={"data": []}) as server:
        api_of(server, "k").models()
        api_of(server).models()
    assert [headers.get("Authorization") for _, _, headers in server.seen] == ["Bearer k", None]


# Answers and refusals


def test_a_refusal_is_told_in_the_servers_words():
    with serving({"/v1/responses/x": (404, {"error": {"message": "No such response."}})}) as server:
        with pytest.raises(ApiFailure, match=r"^No such response\.$"):
            api_of(server).response("x")
        with pytest.raises(ApiFailure, match="no such path"):
            api_of(server).response("y")


@pytest.mark.parametrize("body", [b"<html>", b"", b"null", b'{"detail": "x"}', b"\xff"])
def test_a_refusal_without_words_is_told_by_its_status(body):
    with (
        serving({"/v1/responses/x": (502, body)}) as server,
        pytest.raises(ApiFailure, match="the server answered with status 502"),
    ):
        api_of(server).response("x")


def test_where_nobody_listens_there_is_no_server():
    with pytest.raises(NoServer, match="refused"):
        Api(Address("http://127.0.0.1:9/v1", None)).models()


@pytest.mark.parametrize("body", [b"<html>", b'{"data": 1}', b"[]"])
def test_what_is_no_list_of_models_is_an_error(body):
    with serving(v1_models=body) as server, pytest.raises(Cut, match="no list of models"):
        api_of(server).models()


def test_an_id_cannot_lead_to_another_path():
    with serving() as server, pytest.raises(ApiFailure):
        api_of(server).response("../models?x=")
    assert server.seen[0][1] == "/v1/responses/..%2Fmodels%3Fx%3D"


# Streams


def test_a_stream_ends_with_its_terminal_event():
    with serving({"/v1/responses": CREATED + COMPLETED + b"data: [DONE]\n\n"}) as server:
        assert numbers(api_of(server).create({"input": "x"})) == [0, 3]


def test_a_foreground_stream_that_breaks_off_is_not_taken_up():
    with serving({"/v1/responses": Broken(CREATED + event(1))}) as server:
        events = api_of(server).create({"input": "x"})
        assert next(events)["sequence_number"] == 0
        with pytest.raises(Cut):
            list(events)
    assert len(server.seen) == 1


def test_a_background_stream_that_breaks_off_is_taken_up_after_the_last_number_seen():
    with serving({"/v1/responses": Broken(CREATED + event(1)), tail(1): event(2) + COMPLETED}) as server:
        assert numbers(api_of(server).create(BACKGROUND)) == [0, 1, 2, 3]


def test_a_stream_is_taken_up_as_often_as_it_breaks():
    paths = {
        "/v1/responses": CREATED,
        tail(0): Broken(event(1)),
        tail(1): Broken(event(2)),
        tail(2): COMPLETED,
        "/v1/responses/resp_1": {"id": "resp_1", "status": "in_progress"},
    }
    waits: list[float] = []
    with serving(paths) as server:
        assert numbers(api_of(server, waits=waits).create(BACKGROUND)) == [0, 1, 2, 3]
    assert waits == []  # each try brought something


def test_a_server_that_is_gone_for_a_while_is_waited_for_with_growing_patience():
    paths = {tail(0): COMPLETED, "/v1/responses/resp_1": {"id": "resp_1", "status": "in_progress"}}
    waits: list[float] = []
    with serving(paths) as server:
        server.paths[tail(-1)] = (503, b"")

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                server.paths[tail(-1)] = CREATED

        assert numbers(Api(Address(server.base_url, None), sleep=wait).follow("resp_1")) == [0, 3]
    assert waits == sorted(waits) == [0.5, 1.0, 2.0]


def test_a_server_that_does_not_come_back_is_given_up():
    waits: list[float] = []
    gone = Api(Address("http://127.0.0.1:9/v1", None), sleep=waits.append)
    with pytest.raises(Cut, match="cannot be taken up again"):
        list(gone.follow("resp_1"))
    assert len(waits) == PATIENCE - 1
    assert max(waits) == 5.0


def test_a_response_that_was_deleted_meanwhile_is_not_waited_for():
    with serving() as server, pytest.raises(ApiFailure):
        list(api_of(server).follow("resp_1"))
    assert len(server.seen) == 1


def test_a_cancelled_response_has_no_terminal_event_and_ends_all_the_same():
    paths = {"/v1/responses": CREATED, tail(0): b"", "/v1/responses/resp_1": {"id": "resp_1", "status": "cancelled"}}
    with serving(paths) as server:
        assert numbers(api_of(server).create(BACKGROUND)) == [0]
