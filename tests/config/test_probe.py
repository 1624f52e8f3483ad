"""One short request, and everything that may become of it."""

import socket
import threading

import pytest

from antiphon.config.probe import NoAnswer, ask, list_models
from tests.config.fakes import listing, serving


def test_an_answer_has_its_status_and_its_body():
    with serving(v1_models=listing("m"), teapot=(418, b"short and stout")) as server:
        assert [model.id for model in list_models(ask(f"{server.base_url}/models"))] == ["m"]
        reply = ask(f"http://127.0.0.1:{server.port}/teapot")
    assert (reply.status, reply.body) == (418, b"short and stout")


def test_a_body_is_posted_and_headers_are_sent():
    with serving(x={}) as server:
        ask(f"http://127.0.0.1:{server.port}/x", body=b"{}", headers={"Authorization": "Bearer k"})
    ((method, _, headers),) = server.seen
    assert (method, headers["Authorization"], headers["Content-Type"]) == ("POST", "Bearer k", "application/json")


def test_a_redirect_is_not_followed():
    with serving(x=(302, b"")) as server:
        assert ask(f"http://127.0.0.1:{server.port}/x").status == 302
    assert len(server.seen) == 1


def raw(answer: bytes, *, close: bool = True):
    """A server that sends these bytes to the first who connects."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(answer)
            if not close:
                connection.recv(65536)
                connection.recv(65536)

    threading.Thread(target=serve, daemon=True).start()
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}/"


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"])
def test_what_is_no_whole_http_answer_is_no_answer(answer):
    listener, url = raw(answer)
    with listener:
        try:
            reply = ask(url)
        except NoAnswer:
            return
    with pytest.raises(NoAnswer):
        list_models(reply)


def test_silence_is_no_answer_within_the_patience():
    listener, url = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", close=False)
    with listener, pytest.raises(NoAnswer, match="no answer in time"):
        ask(url, patience=0.05)


def test_nobody_there_is_told():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        with pytest.raises(NoAnswer, match="nobody listens there"):
            ask(url)
