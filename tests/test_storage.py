"""The stores: local files and S3 behave the same."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from captioner import storage
from captioner.storage import Entry


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _wait_for(port: int, process: subprocess.Popen) -> None:
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, "the server ended"
        time.sleep(0.1)
    raise AssertionError("the server did not come up")


@pytest.fixture(scope="module")
def s3_bucket() -> Iterator[str]:
    """A bucket in a local S3."""
    pytest.importorskip("moto.server")
    port = _free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
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
            _wait_for(port, process)
            import boto3

            boto3.client("s3").create_bucket(Bucket="pictures")
            yield "s3://pictures"
        finally:
            process.terminate()


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh directory in each store."""
    if request.param == "local":
        return str(tmp_path)
    return f"{request.getfixturevalue('s3_bucket')}/{uuid.uuid4().hex}"


def test_what_is_created_can_be_read(root: str) -> None:
    uri = storage.join(root, "a", "b.txt")
    assert storage.create(uri, b"hello")
    assert storage.read_bytes(uri) == b"hello"
    assert storage.read_bytes(uri, 2) == b"he"
    assert storage.exists(uri)
    assert not storage.exists(storage.join(root, "a"))
    assert storage.is_directory(storage.join(root, "a"))
    assert not storage.is_directory(storage.join(root, "b"))


def test_the_first_to_create_wins(root: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"second")
    uri = storage.join(root, "one.txt")
    assert storage.create(uri, b"first")
    assert not storage.create(uri, source)
    assert storage.read_bytes(uri) == b"first"


def test_one_of_many_at_once_creates(root: str) -> None:
    uri = storage.join(root, "contested")
    storage.exists(uri)  # the client exists before the threads do
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda n: storage.create(uri, b"%d" % n), range(8)))
    assert won.count(True) == 1
    assert storage.read_bytes(uri) == b"%d" % won.index(True)


def test_replacing_replaces(root: str) -> None:
    uri = storage.join(root, "one.txt")
    storage.replace(uri, b"first")
    storage.replace(uri, b"second")
    assert storage.read_bytes(uri) == b"second"
    assert [entry.uri for entry in storage.walk(root)] == [uri]


def test_walking_finds_every_file_with_its_size(root: str) -> None:
    names = ["top.txt", "a/one.txt", "a/b/two.txt", "c/with [brackets] and *.txt"]
    for name in names:
        storage.create(storage.join(root, name), name.encode())
    found = {entry.uri: entry.size for entry in storage.walk(root)}
    assert found == {storage.join(root, name): len(name) for name in names}


def test_a_level_has_files_and_directories(root: str) -> None:
    for name in ["top.txt", "a/one.txt", "a/b/two.txt", "c/three.txt"]:
        storage.create(storage.join(root, name), b"x")
    level = list(storage.level(root))
    assert [item.uri for item in level if isinstance(item, Entry)] == [
        storage.join(root, "top.txt")
    ]
    directories = sorted(item for item in level if isinstance(item, str))
    assert directories == [storage.join(root, "a"), storage.join(root, "c")]


def test_walking_what_is_not_there_finds_nothing(root: str) -> None:
    assert list(storage.walk(storage.join(root, "nowhere"))) == []


def test_reading_what_is_not_there_says_so(root: str) -> None:
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(storage.join(root, "nowhere"))


def test_a_stamp_tells_versions_apart(root: str) -> None:
    uri = storage.join(root, "one.txt")
    storage.replace(uri, b"first")
    before = storage.entry(uri)
    assert before == storage.entry(uri) == next(storage.walk(root))
    storage.replace(uri, b"other")
    assert storage.entry(uri).stamp != before.stamp


def test_a_local_copy_is_a_file(root: str) -> None:
    uri = storage.join(root, "one.txt")
    storage.create(uri, b"hello")
    with storage.local_copy(uri) as path:
        assert path.read_bytes() == b"hello"


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        storage.create(str(tmp_path / "data"), tmp_path / "no such source")
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_not_utf8_can_be_listed_and_read(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 %.jpg")).write_bytes(b"coffee")
    (entry,) = storage.walk(str(tmp_path))
    assert entry.uri.encode()
    assert storage.read_bytes(entry.uri) == b"coffee"


@pytest.mark.parametrize(
    ("root", "parts", "joined"),
    [
        ("/a/", ("b", "c"), "/a/b/c"),
        ("gs://bucket", ("b",), "gs://bucket/b"),
        ("/", ("b",), "/b"),
    ],
)
def test_joining(root: str, parts: tuple[str, ...], joined: str) -> None:
    assert storage.join(root, *parts) == joined
