"""What users install: the wheel holds the package as it is in the repository, and nothing else."""

import subprocess
import sys
import tomllib
from email.message import Message
from email.parser import Parser
from zipfile import ZipFile

import pytest

import antiphon
from tests.repository.listing import ROOT, listed


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True)
    (path,) = folder.iterdir()
    return ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: ZipFile) -> Message:
    return Parser().parsestr(wheel.read(f"antiphon-{antiphon.__version__}.dist-info/METADATA").decode())


def test_the_wheel_holds_exactly_the_files_of_the_package(wheel: ZipFile) -> None:
    ours = {name.removeprefix("src/") for name in listed("src/antiphon")}
    shipped = {name for name in wheel.namelist() if not name.startswith(f"antiphon-{antiphon.__version__}.dist-info/")}
    assert shipped == ours
    assert {"antiphon/py.typed", "antiphon/tokens/o200k_base.tiktoken.gz", "antiphon/tokens/NOTICE"} <= shipped


def test_the_files_in_the_wheel_are_those_of_the_repository_byte_by_byte(wheel: ZipFile) -> None:
    package = [name for name in wheel.namelist() if name.startswith("antiphon/")]
    assert [name for name in package if wheel.read(name) != (ROOT / "src" / name).read_bytes()] == []


def test_nothing_in_the_wheel_runs_when_python_starts(wheel: ZipFile) -> None:
    assert [name for name in wheel.namelist() if name.endswith(".pth")] == []


def test_the_wheel_carries_the_licences(wheel: ZipFile) -> None:
    licences = f"antiphon-{antiphon.__version__}.dist-info/licenses/"
    shipped = {name.removeprefix(licences) for name in wheel.namelist() if name.startswith(licences)}
    assert shipped == {"LICENSE", "src/antiphon/tokens/NOTICE"}


def test_the_wheel_states_the_version_and_the_dependencies_of_the_project(metadata: Message) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert metadata["Version"] == antiphon.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert len(required) == len(project["dependencies"])


def test_the_wheel_installs_the_command(wheel: ZipFile) -> None:
    entry_points = wheel.read(f"antiphon-{antiphon.__version__}.dist-info/entry_points.txt").decode()
    assert "antiphon = antiphon.cli:main" in entry_points
