"""The stores: local files, S3 and Google Cloud Storage behave the same."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from captioner import archives, storage
from captioner.storage import Entry

REMOTE = ["s3", pytest.param("gs", marks=pytest.mark.engines)]


@pytest.fixture(params=REMOTE)
def remote(request: pytest.FixtureRequest) -> str:
    """A fresh directory in each store of buckets."""
    return f"{request.getfixturevalue(f'{request.param}_bucket')}/{uuid.uuid4().hex}"


@pytest.fixture(params=["local", *REMOTE])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh directory in each store."""
    if request.param == "local":
        return str(tmp_path)
    return f"{request.getfixturevalue(f'{request.param}_bucket')}/{uuid.uuid4().hex}"


def test_what_is_created_can_be_read(root: str) -> None:
    uri = storage.join(root, "a", "b.txt")
    assert storage.create(uri, b"hello")
    assert storage.read_bytes(uri) == b"hello"
    assert storage.read_bytes(uri, 2) == b"he"
    assert storage.exists(uri)
    assert not storage.exists(storage.join(root, "a"))
    assert storage.is_directory(storage.join(root, "a"))
    assert not storage.is_directory(storage.join(root, "b"))


def test_any_part_can_be_read(root: str) -> None:
    uri = storage.join(root, "one.bin")
    whole = bytes(range(256)) * 10
    storage.create(uri, whole)
    for start in (0, 1, 2559, 2560, 9999):
        for limit in (None, 0, 1, 300, 9999):
            end = None if limit is None else start + limit
            assert storage.read_bytes(uri, limit, start) == whole[start:end]


def test_an_empty_file_has_no_bytes(root: str) -> None:
    uri = storage.join(root, "empty")
    storage.create(uri, b"")
    assert storage.read_bytes(uri) == storage.read_bytes(uri, 10) == b""
    with storage.open(uri) as file:
        assert file.read() == b""


def test_an_open_file_is_read_at_any_place(root: str) -> None:
    uri = storage.join(root, "one.bin")
    whole = bytes(range(256)) * 10
    storage.create(uri, whole)
    with storage.open(uri, read_ahead=100) as file:
        assert file.read(5) == whole[:5]
        assert file.seek(1000) == 1000
        assert file.read(333) == whole[1000:1333]
        assert file.seek(-3, os.SEEK_CUR) == 1330
        assert file.read() == whole[1330:]
        assert file.seek(-2, os.SEEK_END) == 2558
        assert file.read(9) == whole[-2:]
        file.seek(9999)
        assert file.read(1) == b""
    with pytest.raises(FileNotFoundError):
        storage.open(storage.join(root, "nowhere"))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip"])
def test_archives_are_read_where_they_are(root: str, tmp_path: Path, name: str) -> None:
    files = {f"{number}.jpg": os.urandom(number * 1000) for number in range(20)}
    for file, data in files.items():
        (tmp_path / file).write_bytes(data)
    with contextlib.chdir(tmp_path):
        flags = {"a.tar": "-cf", "a.tar.gz": "-czf"}
        if name in flags:
            subprocess.run(["tar", flags[name], f"../{name}", *files], check=True)
        else:
            shutil.make_archive("../a", "zip")
    uri = storage.join(root, "archives", name)
    storage.create(uri, tmp_path.parent / name)
    found = list(archives.members(uri, "stamp"))
    assert {one.name: archives.read(one.uri, uri, 1 << 20) for one in found} == files


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
