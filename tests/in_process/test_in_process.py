"""The server in the caller's own process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import openai
import pytest

import antiphon
from antiphon.client import AsyncClient, Client
from antiphon.config.settings import ConfigError
from antiphon.testing import Only, ScriptedModel, said

pytestmark = pytest.mark.anyio

ROOT = Path(antiphon.__file__).parents[1]


async def test_the_async_client_streams_and_answers():
    async with antiphon.local_async() as client:
        events = [e async for e in await client.responses.create(model="rehearsal", input="Hi.", stream=True)]
        assert events[-1].type == "response.completed"
        again = await client.responses.retrieve(events[-1].response.id)
        assert again == events[-1].response


def test_the_sync_client_streams_and_answers():
    with antiphon.local() as client:
        events = list(client.responses.create(model="rehearsal", input="Hi.", stream=True))
        assert events[-1].type == "response.completed"
        assert client.responses.retrieve(events[-1].response.id) == events[-1].response
        with pytest.raises(openai.BadRequestError):
            client.responses.create(model="rehearsal", input="Hi.", temperature=9)
    assert "antiphon-local" not in {thread.name for thread in threading.enumerate()}


async def test_chunks_come_as_they_are_sent_and_leaving_ends_the_model():
    waits = asyncio.Event()
    model = ScriptedModel(lambda _: [[*said("Hello")[1]], waits])
    async with antiphon.local_async(catalog=Only(model)) as client:
        reading = await client.responses.create(model="scripted", input="Hi.", stream=True)
        async for event in reading:
            if event.type == "response.output_text.delta":
                break
        assert model.open == 1
        await reading.close()
        assert model.open == 0


def test_a_sync_stream_that_is_left_ends_the_model():
    model = ScriptedModel(lambda _: [[*said("Hello")[1]], asyncio.Event()])
    with antiphon.local(catalog=Only(model)) as client:
        with client.responses.create(model="scripted", input="Hi.", stream=True) as reading:
            for event in reading:
                if event.type == "response.output_text.delta":
                    break
        assert model.open == 0


async def test_an_app_waits_for_a_reader_that_is_slow():
    model = ScriptedModel(said("x" * 5000, size=1))
    async with antiphon.local_async(catalog=Only(model)) as client:
        reading = await client.responses.create(model="scripted", input="Hi.", stream=True)
        assert len([event async for event in reading]) > 5000


async def test_the_toolkit_works_over_it():
    async with AsyncClient(antiphon.local_async()) as client:
        response = await client.create(model="rehearsal", input="Hi.", background=True)
        assert response.status == "completed"
    with Client(antiphon.local()) as client:
        assert "".join(client.stream(model="rehearsal", input="Hi.").texts())


async def test_many_at_a_time():
    async with antiphon.local_async() as client:
        made = await asyncio.gather(*(client.responses.create(model="rehearsal", input=str(n)) for n in range(20)))
    assert len({response.id for response in made}) == 20


def test_a_folder_keeps_what_was_said(tmp_path):
    with antiphon.local(data=tmp_path) as client:
        made = client.responses.create(model="rehearsal", input="Hi.")
    with antiphon.local(data=tmp_path) as client:
        assert client.responses.retrieve(made.id) == made


def test_a_configuration_is_read_and_its_faults_are_told_at_once(tmp_path):
    file = tmp_path / "antiphon.toml"
    file.write_text('[models."mine"]\nbackend = "rehearsal"\n')
    with antiphon.local(file) as client:
        assert [model.id for model in client.models.list()] == ["mine", "rehearsal"]
    file.write_text('[models."mine"]\nbackend = "nonsense"\n')
    with pytest.raises(ConfigError, match="nonsense"):
        antiphon.local(file)


def test_an_async_client_belongs_to_one_event_loop():
    client = antiphon.local_async()

    async def ask() -> None:
        await client.models.list()

    asyncio.run(ask())
    with pytest.raises((RuntimeError, openai.APIConnectionError)):
        asyncio.run(ask())


def test_a_client_that_nobody_closed_does_not_keep_the_process():
    code = "import antiphon; c = antiphon.local(); c.responses.create(model='rehearsal', input='Hi.'); print('done')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "done\n"


def test_the_fixtures_work_in_a_project_of_somebody_else(tmp_path):
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["antiphon.testing.fixtures"]\n')
    (tmp_path / "test_mine.py").write_text(
        "import pytest\n"
        "def test_sync(antiphon_client):\n"
        "    assert antiphon_client.responses.create(model='rehearsal', input='Hi.').output_text\n"
        "@pytest.mark.anyio\n"
        "async def test_async(antiphon_async_client):\n"
        "    assert (await antiphon_async_client.responses.create(model='rehearsal', input='Hi.')).output_text\n"
        "@pytest.fixture\n"
        "def anyio_backend():\n"
        "    return 'asyncio'\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert "2 passed" in done.stdout, done.stdout
