"""Models without a configuration: what is found, and who is not asked."""

import socket

from antiphon.config.discovery import OPENAI, LocalServer, discover, find_local, find_openai
from antiphon.config.settings import ChatSettings, ResponsesSettings, Secret
from tests.config.fakes import listing, serving

ELSEWHERE = 9


def found(*servers, environ=None, own_port=ELSEWHERE):
    local = [LocalServer(f"server {number}", server.port) for number, server in enumerate(servers)]
    return discover(environ or {}, own_port, servers=local)


def test_each_model_of_a_local_server_is_offered_under_its_own_name():
    with serving(v1_models=listing("qwen3:8b", "gemma3")) as server:
        models = found(server)
    assert models == {
        name: ChatSettings(backend="chat_completions", base_url=server.base_url, model=name)
        for name in ("qwen3:8b", "gemma3")
    }


def test_of_two_servers_with_a_model_of_one_name_the_first_has_it():
    with serving(v1_models=listing("a", "b")) as first, serving(v1_models=listing("b", "c")) as second:
        models = found(first, second)
    assert [(name, model.base_url) for name, model in models.items()] == [
        ("a", first.base_url),
        ("b", first.base_url),
        ("c", second.base_url),
    ]


def test_a_context_window_that_the_list_tells_is_kept():
    with serving(v1_models=listing("m", max_model_len=4096)) as server:
        assert found(server)["m"].context_window == 4096


def test_nobody_takes_the_names_that_are_ours():
    with serving(v1_models=listing("rehearsal", "*", "m")) as server:
        assert list(found(server)) == ["m"]


def test_what_does_not_answer_with_a_list_of_models_is_left_out():
    with (
        serving(v1_models=(401, {"error": {"message": "no key"}})) as locked,
        serving(v1_models=b"<html>") as page,
        serving(v1_models={"models": []}) as other,
        serving() as nothing,
        serving(v1_models=listing("", "x" * 300, "a\nb", "ok")) as odd,
    ):
        assert list(found(locked, page, other, nothing, odd)) == ["ok"]


def test_a_port_where_nobody_listens_is_left_out():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert find_local(ELSEWHERE, servers=[LocalServer("none", closed.getsockname()[1])]) == []


def test_a_server_that_is_too_slow_does_not_keep_the_others_waiting():
    with serving(v1_models=listing("slow")) as slow, serving(v1_models=listing("quick")) as quick:
        slow.gate.clear()
        assert list(found(slow, quick)) == ["quick"]


def test_a_server_that_takes_connections_and_says_nothing_is_left_out():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert find_local(ELSEWHERE, servers=[LocalServer("silent", silent.getsockname()[1])]) == []


def test_our_own_port_is_not_asked():
    with serving(v1_models=listing("m")) as ourselves:
        assert found(ourselves, own_port=ourselves.port) == {}
    assert ourselves.seen == []


def test_a_key_of_openai_sends_every_other_name_there_and_asks_nobody():
    assert find_openai({"OPENAI_API_KEY": "sk-1"}, 8484) == {
        "*": ResponsesSettings(backend="responses", base_url=OPENAI, api_key=Secret("sk-1"))
    }
    assert find_openai({}, 8484) == {}
    assert find_openai({"OPENAI_BASE_URL": "https://h/v1"}, 8484) == {}


def test_the_address_for_openais_key_can_be_another():
    models = find_openai({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "https://h.test/v1/"}, 8484)
    assert models["*"].base_url == "https://h.test/v1"


def test_we_are_not_our_own_upstream_when_the_sdk_is_pointed_at_us():
    for address in ("http://127.0.0.1:8484/v1", "http://localhost:8484/v1", "http://[::1]:8484/v1"):
        assert find_openai({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": address}, 8484) == {}
        assert find_openai({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": address}, 8485) != {}
