"""The stores: local files, S3 and Google Cloud Storage behave the same."""

from __future__ import annotations

import contextlib
import errno
import http.server
import os
import shutil
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from captioner import archives, storage
from captioner.storage import Entry
from captioner.storage.amazon import AmazonStore
from captioner.storage.google import GoogleStore

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


def test_big_files_are_created_once_too(root: str, tmp_path: Path) -> None:
    """Google's client sends them in parts."""
    source, uri = tmp_path / "source", storage.join(root, "big")
    source.write_bytes(os.urandom(9 << 20))
    assert storage.create(uri, source)
    assert not storage.create(uri, source)
    with storage.local_copy(uri) as copy:
        assert copy.read_bytes() == source.read_bytes()


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


def test_what_is_removed_is_gone_and_again_does_no_harm(root: str) -> None:
    uri = storage.join(root, "a")
    storage.replace(uri, b"here")
    for _ in range(2):
        storage.remove(uri)
        assert not storage.exists(uri)


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


def test_a_directory_may_be_given_as_a_uri(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    uri = f"file://{tmp_path}/a%20b"
    for same in ("a b", f"{tmp_path}/a b", uri, f"{uri}/"):
        assert storage.absolute(same) == f"{tmp_path}/a b"
    assert storage.absolute(f"file://{tmp_path}/%ff") == f"file://{tmp_path}/%FF"
    assert storage.absolute("gs://bucket/a%20b") == "gs://bucket/a%20b"


def test_directories_may_vanish_while_they_are_walked(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "b/2.jpg", "c/d/3.jpg"):
        storage.create(f"{tmp_path}/{name}", b"image")
    found = []
    for entry in storage.walk(str(tmp_path)):
        found.append(entry.uri)
        for other in ("a", "b"):
            if not entry.uri.startswith(f"{tmp_path}/{other}/"):
                shutil.rmtree(tmp_path / other, ignore_errors=True)
    assert found == [f"{tmp_path}/c/d/3.jpg"]


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


def _by_levels(root: str) -> Iterator[Entry]:
    """Every file below a directory, level by level, as jobs list in parallel."""
    pending = [root]
    for _ in range(50):  # more than any name here has levels
        found = list(storage.level(pending.pop()))
        yield from (item for item in found if isinstance(item, Entry))
        pending += [item for item in found if isinstance(item, str)]
        if not pending:
            return
    raise AssertionError(f"no end to {pending}")


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(
        lambda name: not name.endswith("/")
    )
)
@example("a//b.jpg")
@example("/a.jpg")
@example("../a.jpg")
@example("a%2Fb?c=d#e+f.jpg")
def test_any_name_can_be_created_listed_and_read(remote: str, name: str) -> None:
    root = storage.join(remote, uuid.uuid4().hex)
    uri = f"{root}/{name}"
    assert storage.create(uri, name.encode())
    assert storage.read_bytes(uri) == name.encode()
    assert list(storage.walk(root)) == list(_by_levels(root)) == [storage.entry(uri)]
    assert storage.entry(uri).uri == uri


def test_what_stands_for_a_directory_is_no_file(remote: str) -> None:
    storage.replace(f"{remote}/a/", b"")  # as the stores' own pages make for a new folder
    assert storage.is_directory(storage.join(remote, "a"))
    assert list(storage.walk(remote)) == list(storage.level(storage.join(remote, "a"))) == []
    assert storage.entry(f"{remote}/a/") is None
    storage.create(storage.join(remote, "a", "b.txt"), b"x")
    assert [entry.uri for entry in storage.walk(remote)] == [storage.join(remote, "a", "b.txt")]


def test_a_directory_may_be_named_with_a_slash(root: str) -> None:
    storage.create(storage.join(root, "a", "b.txt"), b"x")
    assert [entry.size for entry in storage.walk(f"{root}/a/")] == [1]
    assert storage.is_directory(f"{root}/a/")


def test_a_bucket_that_is_not_there_is_named(remote: str) -> None:
    scheme = remote.partition("://")[0]
    nowhere = f"{scheme}://no-such-bucket"
    calls: list[Callable[[], object]] = [
        lambda: list(storage.walk(f"{nowhere}/a")),
        lambda: list(storage.level(f"{nowhere}/a")),
        lambda: storage.is_directory(f"{nowhere}/a"),
        lambda: storage.create(f"{nowhere}/a", b""),
        lambda: storage.replace(f"{nowhere}/a", b""),
    ]
    for call in calls:
        with pytest.raises(OSError, match="there is no such bucket") as caught:
            call()
        assert caught.value.errno == errno.ENXIO and caught.value.filename == nowhere
    assert storage.entry(f"{nowhere}/a") is None


class _Answers(http.server.BaseHTTPRequestHandler):
    """Answers with the server's statuses, one after the other, the last of them for good."""

    server: _Server

    def do_HEAD(self) -> None:
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("Content-Length", str(len(self.server.body) + self.server.lost))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Not to the terminal."""


class _Server(http.server.ThreadingHTTPServer):
    statuses: list[int]
    body = b"hello"
    lost = 0  # bytes behind it that never come


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    """What new clients of both stores ask; it answers as it is told to."""
    server = _Server(("127.0.0.1", 0), _Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    known = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
    known |= {"AWS_ENDPOINT_URL": url, "STORAGE_EMULATOR_HOST": url}
    for name, value in known.items():
        monkeypatch.setenv(name, value)

    yield server
    server.shutdown()


@pytest.mark.parametrize("uri", ["gs://", "s3:///a", "gs://a b/c", "s3://x/y"])
def test_what_names_no_bucket_is_refused(uri: str, server: _Server) -> None:
    store = GoogleStore() if uri.startswith("gs://") else AmazonStore()
    for ask in (store.entry, store.is_directory, store.read_bytes):
        with pytest.raises(OSError, match="can't be the name of a bucket"):
            ask(uri)


def test_what_has_no_md5_is_told_by_its_crc32c(server: _Server) -> None:
    """As what is composed of others in Google's store; fake-gcs-server gives it an MD5."""
    server.statuses = [200]
    server.body = b'{"items": [{"name": "a", "size": "8", "crc32c": "28ZUAg=="}]}'
    (entry,) = GoogleStore().walk("gs://pictures")
    assert entry == Entry("gs://pictures/a", 8, "8:28ZUAg==", "8:28ZUAg==")


def test_a_download_that_breaks_off_is_an_error_of_the_store(server: _Server) -> None:
    server.statuses, server.lost = [200], 9
    with pytest.raises(OSError, match="Max Retries Exceeded"):
        AmazonStore().local_copy("s3://pictures/a").__enter__()


@pytest.mark.parametrize(
    ("store", "uri"), [(AmazonStore, "s3://pictures/a"), (GoogleStore, "gs://pictures/a")]
)
class TestAnswers:
    """What the stores' clients make of answers; Google's are asked without a server of its own."""

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_refusal_says_what_to_do(self, store, uri: str, server: _Server, status: int) -> None:
        server.statuses = [status]
        with pytest.raises(PermissionError) as caught:
            store().read_bytes(uri)
        assert caught.value.filename == uri
        if status == 403:
            assert f"access to {uri.removesuffix('/a')}" in caught.value.strerror
        else:
            assert "credentials are not accepted" in caught.value.strerror

    def test_what_passes_is_tried_again(self, store, uri: str, server: _Server) -> None:
        server.statuses = [503, 500, 200]
        assert store().read_bytes(uri) == b"hello"
        assert server.statuses == [200]

    def test_what_does_not_pass_is_an_error_of_the_store(
        self, store, uri: str, server: _Server
    ) -> None:
        server.statuses = [400]
        with pytest.raises(OSError) as caught:
            store().read_bytes(uri)
        assert (caught.value.errno, caught.value.filename) == (errno.EIO, uri)
