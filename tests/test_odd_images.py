"""The whole job, in a process of its own, over files such as the web may hold, good and bad."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from captioner import images
from tests import odd_images
from tests.conftest import StubJob

_MEGABYTE = 1 << 20
PROGRAM = r"""
import json, pickle, re, resource, sys
from captioner import isolation
stub = pickle.load(sys.stdin.buffer)
stub.run(shard_size=64)
isolation.shared().close()
# `resource` would give a process also the peak of the one that it was forked from.
own = re.search(r"VmHWM:\s*(\d+)", open("/proc/self/status").read())[1]
children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
json.dump([int(own) * 1024, children * 1024], sys.stdout)
"""


def run_apart(stub: StubJob) -> tuple[list[int], str]:
    """Run the job in a new process: the peaks of its memory and its children's, and its stderr."""
    pytest.importorskip("resource")
    if not Path("/proc/self/status").exists():
        pytest.skip("sees memory in /proc")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=pickle.dumps(stub),
        capture_output=True,
        env=environment,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return json.loads(done.stdout.splitlines()[-1]), done.stderr.decode()


def write(files: odd_images.Files, directory: Path) -> set[str]:
    """Write them; their ids."""
    for name, data in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return {unicodedata.normalize("NFC", name) for name in files}


def add_links(directory: Path) -> set[str]:
    """Links, of which those to no file fail; and what is no file at all."""
    (directory / "link.jpg").symlink_to(directory / "plain" / "baseline.jpg")
    (directory / "link to nowhere.jpg").symlink_to(directory / "nowhere.jpg")
    (directory / "link upwards").symlink_to(directory)
    (directory / "link to itself.jpg").symlink_to(directory / "link to itself.jpg")
    (directory / "empty directory.jpg").mkdir()
    os.mkfifo(directory / "pipe.jpg")
    return {"link.jpg", "link to nowhere.jpg", "link upwards", "link to itself.jpg"}


def test_there_are_many_kinds_and_always_the_same() -> None:
    assert len(set(odd_images.kinds().values())) >= 300
    again = odd_images.valid.__wrapped__() | odd_images.broken.__wrapped__()
    assert again == odd_images.kinds()


def test_each_odd_image_ends_as_one_result_or_one_failure(stub: StubJob) -> None:
    kinds = odd_images.kinds()
    expected = write(kinds, stub.input) | add_links(stub.input)
    (own, children), errors = run_apart(stub)
    results, failures = stub.results(), stub.failures()
    assert len(stub.lines("failures")) == len(failures)
    assert results.keys() | failures.keys() == expected
    assert not results.keys() & failures.keys()
    good = {unicodedata.normalize("NFC", name) for name in odd_images.valid()}
    assert good <= results.keys(), f"{good - results.keys()}"
    assert failures.pop("link to nowhere.jpg") == "missing"
    assert failures.pop("link upwards") == failures.pop("link to itself.jpg") == "unreadable"
    assert set(failures.values()) == {"empty", "not_an_image", "truncated", "corrupt", "too_large"}
    assert own < 1500 * _MEGABYTE and children < 3000 * _MEGABYTE
    said = re.findall(r".*(?:\bPIL\b|tiff|JPEG|\.jpg|\.png|Traceback).*", errors, re.IGNORECASE)
    assert not said, "something was said of single images"


@pytest.mark.parametrize("kind", ["huge", "screen", "largest", "canvas", "scans.jpg", "run-delta"])
def test_bombs_are_too_large(kind: str) -> None:
    bombs = {name: data for name, data in odd_images.broken().items() if f"bombs/{kind}" in name}
    for name, data in bombs.items():
        with pytest.raises(images.ImageError) as caught:
            images.decode(data, 16)
        assert caught.value.reason is images.Reason.TOO_LARGE, name
    assert bombs


def test_odd_images_that_are_read_are_what_pillow_sees() -> None:
    for name, data in odd_images.valid().items():
        if name.startswith(("plain/", "shapes/")):
            decoded = images.decode(data, 16)
            with Image.open(io.BytesIO(data)) as image:
                assert image.size == (decoded.width, decoded.height), name
