"""What several tests share: pictures, and a job with a network that costs nothing."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from PIL import Image

from captioner import shards
from pipelines import jobs
from pipelines.inference import HalvingHandler
from pipelines.items import Item
from pipelines.job import Job, JobOptions
from pipelines.jobs import Work
from tests.local_google import LocalGoogle

# How long an example takes says more of the machine than of what is tested.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

_BEGUN = time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    help = "skip tests that would begin after so many minutes"
    parser.addoption("--minutes", type=float, metavar="N", help=help)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    minutes = item.config.getoption("--minutes")
    if minutes is not None and time.monotonic() > _BEGUN + 60 * minutes:
        pytest.skip(f"no time left: {minutes:g} minutes are over")


# Where scripts/engines.sh installs engines and servers.
ENGINES = Path(os.environ.get("CAPTIONER_ENGINES", Path(__file__).parents[1] / ".engines"))


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen) -> None:
    """Wait until a server listens."""
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, "the server ended"
        time.sleep(0.1)
    raise AssertionError("the server did not come up")


def wait_until(is_so: Callable[[], object], seconds: float = 300) -> None:
    """Wait for something that must come to be."""
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it did not come to be"
        time.sleep(0.1)


# A local S3 that answers one request after the other: whether a file is there, and its writing, are
# two steps to moto, and one to a store.
_S3 = """
import sys, threading
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

moto, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()

def answer(environ, start_response):
    with lock:
        return moto(environ, start_response)

run_simple("127.0.0.1", int(sys.argv[1]), answer, threaded=True)
"""


@pytest.fixture(scope="session")
def s3_bucket() -> Iterator[str]:
    """A bucket in a local S3."""
    pytest.importorskip("moto.server")
    port = free_port()
    command = [sys.executable, "-c", _S3, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    settings = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        try:
            wait_for(port, process)
            import boto3

            boto3.client("s3").create_bucket(Bucket="pictures")
            yield "s3://pictures"
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGoogle]:
    """A local Google Cloud Storage, with a bucket; skips where there is none."""
    path = f"{ENGINES / 'bin'}{os.pathsep}{os.environ['PATH']}"
    program = shutil.which("fake-gcs-server", path=path)
    if not program:
        pytest.skip("needs fake-gcs-server, which `./run_tests.sh --engines` installs")
    server = LocalGoogle(free_port(), free_port(), tmp_path_factory.mktemp("google"))
    process = subprocess.Popen([program, *server.flags()], stderr=subprocess.DEVNULL)
    try:
        wait_for(server.port, process)
        wait_for(server.tls_port, process)
        server.create_bucket("pictures")
        yield server
    finally:
        process.terminate()


@pytest.fixture(scope="session")
def gs_bucket(google: LocalGoogle) -> Iterator[str]:
    """A bucket in a local Google Cloud Storage, which asks for no credentials."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", google.url)
        yield "gs://pictures"


@pytest.fixture
def picture() -> Callable[..., Path]:
    """Writes a picture of one colour, by default one that no other call gives."""
    given = iter(range(1, 1 << 24, 7919))

    def write(path: Path, colour: tuple[int, int, int] | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        number = next(given)
        colour = colour or (number >> 16, number >> 8 & 255, number & 255)
        Image.new("RGB", (12, 8), colour).save(path, format="PNG")
        return path

    return write


class MeanColour:
    """A network for tests: the mean colour. Batches with a pixel of value `poison` are refused."""

    def __init__(self, poison: int | None = None) -> None:
        self.poison = poison

    def infer(self, batch: np.ndarray) -> np.ndarray:
        if self.poison is not None and (batch == self.poison).any():
            raise ValueError("poisoned")
        return batch.mean(axis=(1, 2))


@dataclasses.dataclass(frozen=True)
class LoadMeanColour:
    """Loads `MeanColour`, leaving a line in the file `log`."""

    log: str
    poison: int | None = None

    def __call__(self) -> MeanColour:
        with open(self.log, "a") as file:
            file.write("loaded\n")
        return MeanColour(self.poison)


def to_line(item: Item) -> bytes:
    """A result as a JSON line."""
    colour = [round(float(value)) for value in item.result]
    return (json.dumps({"id": item.reference.id, "colour": colour}) + "\n").encode()


_OPTIONS = {field.name for field in dataclasses.fields(JobOptions)}


class StubJob:
    """A job over a directory whose results are mean colours.

    Attributes:
        input, output: directories.
        settings: fingerprint of the job's settings.
    """

    def __init__(self, root: Path) -> None:
        self.input, self.output = root / "in", root / "out"
        self.log = root / "loads.txt"
        self.settings = "settings-1"
        self.input.mkdir()

    def job(self, **changes: Any) -> Job:
        """The job of one run; `changes` to its options or to itself."""
        known = Job(str(self.input), str(self.output), shards.new_run(), self.settings, "jsonl")
        chosen = {name: changes.pop(name) for name in _OPTIONS & changes.keys()}
        options = JobOptions(**{"shard_size": 4, **chosen})
        return dataclasses.replace(known, options=options, **changes)

    def work(self, poison: int | None = None, batch_size: int = 3) -> Work:
        """What it does."""
        handler = HalvingHandler(LoadMeanColour(str(self.log), poison), batch_size)
        return Work(handler, 8, functools.partial(open, mode="wb"), to_line)

    def run(self, poison: int | None = None, **changes: Any) -> dict[str, Any]:
        """Run it; the manifest."""
        return jobs.run(self.job(**changes), self.work(poison), {}, [])

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """All lines below a directory of the output."""
        files = sorted((self.output / kind).glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def results(self) -> dict[str, list[int]]:
        """Colours by id; asserts that no id is there twice."""
        lines = self.lines("shards")
        found = {line["id"]: line["colour"] for line in lines}
        assert len(found) == len(lines)
        return found

    def failures(self) -> dict[str, str]:
        """Reasons by id."""
        return {line["id"]: line["reason"] for line in self.lines("failures")}


@pytest.fixture
def stub(tmp_path: Path) -> StubJob:
    """A job that costs nothing."""
    return StubJob(tmp_path)
