"""Which images are decoded in threads and which in a child; that none holds up the others."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from captioner import images, isolation, storage
from captioner.images import DecodedImage, ImageError
from captioner.tasks import Reference, Task
from captioner.threads import Threads
from pipelines import reading
from pipelines.items import Item
from pipelines.reading import ReadTasks
from tests import odd_images
from tests.conftest import StubJob

SIZE = 8


class Isolated:
    """Stands for the process's child: it knows which files it was given."""

    def __init__(self) -> None:
        self.files: list[bytes] = []
        self._decoder = isolation.IsolatedDecoder()
        self.close = self._decoder.close

    def decode(self, data: bytes, size: int) -> DecodedImage:
        """Decode it by a child."""
        self.files.append(data)
        return self._decoder.decode(data, size)


@pytest.fixture
def isolated(monkeypatch: pytest.MonkeyPatch) -> Iterator[Isolated]:
    """In the place of the process's own."""
    made = Isolated()
    monkeypatch.setattr(isolation, "shared", lambda: made)
    yield made
    made.close()


class Tasks:
    """Tasks of a job over pictures of one colour, `0.png` and so on."""

    def __init__(self, stub: StubJob, picture: Callable[..., Path]) -> None:
        self.job = stub.job()
        self.files = [picture(stub.input / f"{n}.png") for n in range(8)]

    def publish(self, **changes: Any) -> str:
        """URI of a task of all files; `changes` to its second reference."""
        references = [Reference(file.name, str(file), "1:1") for file in self.files]
        references[1] = references[1]._replace(**changes)
        return Task.of(references, self.job.settings).publish(self.job.plan, "images-00000")

    def read(self, uri: str, **options: Any) -> list[Item]:
        """One attempt at a task."""
        do = ReadTasks(self.job, SIZE, **options)
        do.setup()
        try:
            return list(do.process(uri))
        finally:
            do.teardown()

    def assert_all_read(self, items: list[Item]) -> None:
        """Each image once, in order, with the pixels that it has."""
        assert [item.reference.id for item in items] == [file.name for file in self.files]
        for file, item in zip(self.files, items, strict=True):
            assert item.problem is None
            expected = images.decode(file.read_bytes(), SIZE).pixels
            assert np.array_equal(item.pixels_or_features, expected)


@pytest.fixture
def tasks(stub: StubJob, picture: Callable[..., Path]) -> Tasks:
    """Of a job that has not begun."""
    return Tasks(stub, picture)


def test_common_images_are_decoded_in_threads(tasks: Tasks, isolated: Isolated) -> None:
    tasks.assert_all_read(tasks.read(tasks.publish()))
    assert not isolated.files


@pytest.mark.parametrize("kind", ["large/flat.png", "plain/group4.tif", "plain/runs.bmp"])
def test_heavy_and_rare_images_alone_are_isolated(
    tasks: Tasks, isolated: Isolated, kind: str
) -> None:
    heavy = odd_images.valid()[kind]
    tasks.files[3].write_bytes(heavy)
    tasks.assert_all_read(tasks.read(tasks.publish()))
    assert isolated.files == [heavy]


def test_a_task_whose_earlier_attempt_left_its_mark_is_isolated(
    tasks: Tasks, isolated: Isolated
) -> None:
    uri = tasks.publish()
    tasks.read(uri)
    mark = storage.join(tasks.job.output, "attempts", Task.read(uri).id)
    assert storage.read_bytes(mark).decode() == uri
    tasks.assert_all_read(tasks.read(uri))
    assert len(isolated.files) == len(tasks.files)


def test_the_mark_is_there_before_the_first_image_is_read(
    tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks, read = [], reading.read_reference

    def looking(*arguments: Any) -> bytes:
        marks.append(os.listdir(storage.join(tasks.job.output, "attempts")))
        return read(*arguments)

    monkeypatch.setattr(reading, "read_reference", looking)
    uri = tasks.publish()
    tasks.read(uri)
    assert marks == [[Task.read(uri).id]] * len(tasks.files)


def test_a_task_with_a_suspect_is_isolated(tasks: Tasks, isolated: Isolated) -> None:
    tasks.assert_all_read(tasks.read(tasks.publish(suspect=True)))
    assert len(isolated.files) == len(tasks.files)


class StuckDecoder:
    """Decodes as `images.decode`, but never comes back from one file."""

    def __init__(self, culprit: bytes) -> None:
        self._culprit = culprit
        self._decode = images.decode
        self.released = threading.Event()

    def __call__(self, data: bytes, *arguments: Any) -> DecodedImage:
        if data == self._culprit:
            self.released.wait()
        return self._decode(data, *arguments)


def test_an_image_that_takes_too_long_and_those_behind_it_are_isolated(
    tasks: Tasks, isolated: Isolated, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [file.read_bytes() for file in tasks.files]
    stuck = StuckDecoder(files[3])
    monkeypatch.setattr(images, "decode", stuck)
    try:
        items = tasks.read(tasks.publish(), seconds=0.5)
    finally:
        stuck.released.set()
    monkeypatch.undo()
    tasks.assert_all_read(items)
    assert sorted(isolated.files) == sorted(files[3:])


def test_a_store_may_take_its_time(
    tasks: Tasks, isolated: Isolated, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = reading.read_reference

    def slowly(*arguments: Any) -> bytes:
        time.sleep(0.6)
        return read(*arguments)

    monkeypatch.setattr(reading, "read_reference", slowly)
    tasks.assert_all_read(tasks.read(tasks.publish(), seconds=0.3))
    assert not isolated.files


def test_a_child_that_dies_of_an_image_costs_that_image(
    tasks: Tasks, isolated: Isolated, monkeypatch: pytest.MonkeyPatch
) -> None:
    culprit, decode = tasks.files[3].read_bytes(), isolated.decode

    def dying(data: bytes, size: int) -> DecodedImage:
        if data == culprit:
            raise ImageError(images.Reason.CRASHED, "the process that decoded it died")
        return decode(data, size)

    monkeypatch.setattr(isolated, "decode", dying)
    items = tasks.read(tasks.publish(suspect=True))
    problems = {item.reference.id: item.problem for item in items if item.problem}
    assert {id: (problem.stage, problem.reason) for id, problem in problems.items()} == {
        "3.png": ("decode", "crashed")
    }
    assert problems["3.png"].permanent


CRASHING = """
import ctypes, pickle, sys
from captioner import images
decode = images.decode
def crashing(data, *arguments):
    return ctypes.string_at(0) if data == culprit else decode(data, *arguments)
culprit, stub = pickle.load(sys.stdin.buffer)
images.decode = crashing
stub.run()
"""


def test_an_image_that_kills_the_job_is_isolated_by_the_next_run(
    stub: StubJob, picture: Callable[..., Path]
) -> None:
    files = [picture(stub.input / f"{n}.png") for n in range(6)]
    message = pickle.dumps((files[2].read_bytes(), stub))
    for ending in (-signal.SIGSEGV, 0):
        run = subprocess.run([sys.executable, "-c", CRASHING], input=message, capture_output=True)
        assert run.returncode == ending, run.stderr.decode()[-2000:]
    assert stub.results().keys() == {file.name for file in files}


def test_a_stuck_thread_does_not_keep_the_process_from_ending() -> None:
    program = (
        "import threading, time\nfrom captioner.threads import Threads\n"
        "begun = threading.Event()\nthreads = Threads(2)\n"
        "threads.submit(lambda: (begun.set(), time.sleep(600)))\nbegun.wait()\nthreads.leave()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_threads_that_are_left_begin_nothing_else() -> None:
    begun, gate, done = threading.Event(), threading.Event(), []
    pool = Threads(1)
    first = pool.submit(lambda: begun.set() or gate.wait())
    pool.submit(done.append, "second")
    assert begun.wait(60)
    pool.leave()
    gate.set()
    assert first.result(60)
    assert not done


def test_an_error_in_a_thread_is_raised_where_the_result_is_taken() -> None:
    threads = Threads(1)
    with pytest.raises(ZeroDivisionError):
        threads.submit(lambda: 1 / 0).result(60)
    threads.leave()
