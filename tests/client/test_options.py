"""A wrong option fails when the client is built, with its name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from openai import AsyncOpenAI, OpenAI

import antiphon
from antiphon.client import AsyncClient, BreakerSettings, Client, OptionError, RetrySettings, errors

ASYNC = AsyncOpenAI(base_url="http://127.0.0.1:1/v1", api_key="none")
SYNC = OpenAI(base_url="http://127.0.0.1:1/v1", api_key="none")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"retry": {"attempts": 0}}, r"retry\.attempts: Expected `int` >= 1"),
        ({"retry": RetrySettings(patience=-1)}, r"retry\.patience"),
        ({"retry": {"tries": 3}}, r"retry: .*tries"),
        ({"retry": 3}, "retry: takes RetrySettings, a mapping, True or False, not int"),
        ({"breaker": BreakerSettings(ratio=2)}, r"breaker\.ratio"),
        ({"breaker": "on"}, "breaker: takes BreakerSettings"),
        ({"deadline": 0}, "deadline: takes seconds, more than 0, not 0"),
        ({"deadline": True}, "deadline"),
        ({"observers": ["print"]}, "observers: takes functions of a record, not str"),
        ({"layers": [1]}, "layers"),
    ],
)
def test_it_fails_with_its_name(options, name):
    for make in (lambda: AsyncClient(ASYNC, **options), lambda: Client(SYNC, **options)):
        with pytest.raises(OptionError, match=name):
            make()


def test_the_wrong_kind_of_client_is_told_the_right_one():
    with pytest.raises(OptionError, match=r"takes openai\.AsyncOpenAI, not OpenAI; Client takes that one"):
        AsyncClient(SYNC)
    with pytest.raises(OptionError, match=r"takes openai\.OpenAI, not AsyncOpenAI; AsyncClient takes that one"):
        Client(ASYNC)
    with pytest.raises(OptionError, match=r"takes openai\.OpenAI, not str"):
        Client("http://127.0.0.1")


def test_an_option_of_a_request_is_checked_before_it_is_sent():
    with pytest.raises(OptionError, match="deadline"):
        Client(SYNC).stream(model="m", input="Hi.", deadline=-1)
    with pytest.raises(OptionError, match="stream: is not asked for here"):
        Client(SYNC).create(model="m", input="Hi.", stream=False)


def test_the_sdks_client_is_left_as_it_was():
    client = Client(SYNC)
    assert client.openai is SYNC
    assert SYNC.max_retries == 2


def test_every_error_is_the_sdks_too_and_says_what_to_do():
    found = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.ClientError)]
    assert len(found) > 20
    for each in found:
        assert each.advice or each is errors.ClientError, each
        assert each.__name__ in errors.__doc__


def test_importing_the_toolkit_costs_little_beyond_the_sdk():
    code = """
import time, openai, openai.types.responses
begun = time.process_time()
import antiphon.client
print(time.process_time() - begun)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(antiphon.__file__).parents[1])}
    took = min(float(subprocess.check_output([sys.executable, "-c", code], env=environment)) for _ in range(3))
    assert took < 0.15
