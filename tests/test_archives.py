"""Archives: every member is listed once and read back as it is, however odd; none does harm."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from captioner import archives
from captioner.archives import Member
from captioner.images import ImageError, Reason

LIMIT = 1 << 20
TARS = ["tar", "tar.gz", "tar.bz2", "tar.xz"]
KINDS = [*TARS, "zip"]
PHOTOS = [(f"{number}.jpg", bytes([number]) * (number + 1)) for number in range(20)]


def write_tar(path: Path, files: Iterable[tuple[str, bytes] | tarfile.TarInfo]) -> Path:
    mode = "w:" + path.suffix[1:].replace("tar", "").replace("tgz", "gz")
    with tarfile.open(path, mode, encoding="utf-8", errors="surrogateescape") as archive:
        for file in files:
            header, data = (file, b"") if isinstance(file, tarfile.TarInfo) else regular(*file)
            archive.addfile(header, io.BytesIO(data))
    return path


def regular(name: str, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    header = tarfile.TarInfo(name)
    header.size = len(data)
    return header, data


def link(name: str, target: str, kind: bytes = tarfile.LNKTYPE) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type, header.linkname = kind, target
    return header


def write_zip(path: Path, files: Iterable[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return path


def write(path: Path, files: Iterable[tuple[str, bytes]]) -> Path:
    return (write_zip if path.suffix == ".zip" else write_tar)(path, files)


def members(path: Path) -> list[Member]:
    return list(archives.members(str(path), "stamp"))


def names(path: Path) -> list[str | None]:
    return [member.name for member in members(path)]


def bytes_in(path: Path) -> dict[str | None, bytes]:
    found = members(path)
    return {one.name: archives.read(one.uri, str(path), LIMIT) for one in found}


def streamed(path: Path) -> dict[str | None, bytes | Exception]:
    uris = {one.uri: one.name for one in members(path)}
    return {uris[uri]: data for uri, data in archives.stream(str(path), uris, LIMIT)}


def reason_of(call: Callable[[], bytes]) -> Reason:
    with pytest.raises(ImageError) as caught:
        call()
    return caught.value.reason


@pytest.mark.parametrize("kind", KINDS)
def test_each_member_is_read_back(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"photos.{kind}", PHOTOS)
    assert bytes_in(path) == dict(PHOTOS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_gives_what_reading_each_does(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"photos.{kind}", PHOTOS)
    uris = {one.uri: one.name for one in members(path) if archives.is_streamed(one.uri, str(path))}
    found = list(archives.stream(str(path), reversed(uris), LIMIT))
    assert [uris[uri] for uri, _ in found] == list(uris.values())
    assert {uris[uri]: data for uri, data in found} == (dict(PHOTOS) if uris else {})
    assert bool(uris) == (kind not in ("tar", "zip"))


any_byte = st.integers(1, 255).map(lambda byte: bytes([byte]).decode("latin-1"))
tar_names = st.lists(any_byte, min_size=1, max_size=150).map(
    lambda letters: "".join(letters).encode("latin-1").decode("utf-8", "surrogateescape")
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(tar_names.map(lambda name: f"{name}.jpg"), st.binary(max_size=2000)))
def test_any_name_in_a_tar_is_a_name(tmp_path_factory, files: dict[str, bytes]) -> None:
    path = write_tar(tmp_path_factory.mktemp("tar") / "a.tar", files.items())
    expected = {
        name.encode(errors="surrogateescape").decode(errors="backslashreplace"): data
        for name, data in files.items()
    }
    found = members(path)
    assert len(found) == len(files)
    assert {one.name: archives.read(one.uri, str(path), LIMIT) for one in found} == expected
    assert all(one.uri.encode() for one in found)


zip_names = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(zip_names.map(lambda name: f"{name}.jpg"), st.binary(max_size=2000)))
def test_any_name_in_a_zip_is_a_name(tmp_path_factory, files: dict[str, bytes]) -> None:
    path = write_zip(tmp_path_factory.mktemp("zip") / "a.zip", files.items())
    assert len(members(path)) == len(files)
    assert bytes_in(path) == files


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0), st.binary(max_size=20))
@example("zip", 191, bytes.fromhex("010000000000000010"))  # one that hides all others
def test_no_damage_escapes(tmp_path_factory, kind: str, place: int, damage: bytes) -> None:
    path = write(tmp_path_factory.mktemp("broken") / f"a.{kind}", PHOTOS[:4])
    whole = bytearray(path.read_bytes())
    start = place % len(whole)
    whole[start : start + len(damage)] = damage
    path.write_bytes(whole if place % 2 else whole[:start])
    found = members(path)
    assert found
    for uri, data in (
        archives.stream(str(path), [one.uri for one in found if one.name], LIMIT)
        if kind not in ("tar", "zip")
        else ()
    ):
        assert isinstance(data, (bytes, ImageError, OSError)), uri
    for one in found:
        try:
            archives.read(one.uri, str(path), LIMIT)
        except (ImageError, OSError):
            pass


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_before_a_break_is_listed_and_the_break_too(tmp_path: Path, kind: str) -> None:
    noise = [(f"{n}.jpg", bytes((n * i * i) % 251 for i in range(5000))) for n in range(20)]
    path = write(tmp_path / f"photos.{kind}", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    *listed, broken = members(path)
    assert broken.name is None
    assert reason_of(lambda: archives.read(broken.uri, str(path), LIMIT)) == Reason.CORRUPT
    if kind in ("tar", "tar.gz"):
        assert len(listed) > 5
        assert archives.read(listed[3].uri, str(path), LIMIT) == noise[3][1]


def test_a_tar_cut_at_a_header_is_broken(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [("a.jpg", b"a" * 512), ("b.jpg", b"b" * 512)])
    path.write_bytes(path.read_bytes()[:1024])
    assert names(path) == ["a.jpg", None]


def test_an_empty_file_is_a_broken_archive(tmp_path: Path) -> None:
    for name in ("a.tar", "a.zip", "a.tgz"):
        (tmp_path / name).touch()
        assert names(tmp_path / name) == [None]


def test_an_archive_that_is_gone_stands_for_itself(tmp_path: Path) -> None:
    (found,) = members(tmp_path / "a.tar")
    assert found.name is None
    assert found.uri == str(tmp_path / "a.tar")


def test_names_that_climb_out_are_names(tmp_path: Path) -> None:
    climbing = [("../../evil.jpg", b"1"), ("/etc/evil.jpg", b"2"), ("a/../../evil.jpg", b"3")]
    for kind in KINDS:
        path = write(tmp_path / f"a.{kind}", climbing)
        assert bytes_in(path) == dict(climbing)
    assert {path.name for path in tmp_path.rglob("*")} == {f"a.{kind}" for kind in KINDS}


def test_sidecars_are_passed_over(tmp_path: Path) -> None:
    files = ["x/1.cls", "x/1.jpg", "x/1.txt", "x/1.seg.PNG", "x/2.json", "y/1.txt", "notes", ".a"]
    expected = {"x/1.jpg", "x/1.seg.PNG", "x/2.json", "y/1.txt", "notes", ".a"}
    for kind in KINDS:
        for order in (files, files[::-1]):
            path = write(tmp_path / f"a.{kind}", [(name, b"") for name in order])
            assert set(names(path)) == expected


def test_only_files_are_members(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    others = [
        link(f"{kind.decode()}.jpg", "file.jpg", kind)
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE)
    ]
    to_link = link("hard link to a symbolic one.jpg", f"{tarfile.SYMTYPE.decode()}.jpg")
    write_tar(path, [("file.jpg", b""), *others, to_link])
    assert names(path) == ["file.jpg"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.mkdir("directory.jpg")
        symbolic = zipfile.ZipInfo("link.jpg")
        symbolic.external_attr = 0o120777 << 16
        archive.writestr(symbolic, "target")
        archive.writestr("file.jpg", b"")
    assert names(tmp_path / "a.zip") == ["file.jpg"]


def test_archives_within_are_not_entered(tmp_path: Path) -> None:
    inner = write_tar(tmp_path / "inner.tar", PHOTOS)
    path = write_tar(tmp_path / "a.tar", [("inner.tar", inner.read_bytes())])
    assert names(path) == ["inner.tar"]


@pytest.mark.parametrize("kind", TARS)
def test_hard_links_are_members(tmp_path: Path, kind: str) -> None:
    long = "\udcff" * 150 + ".png"
    files = [
        ("a.png", b""),
        link("to a.png", "a.png"),
        (long, b"1" * 600),
        link("again.png", long),
        link("and again.png", "again.png"),
    ]
    path = write_tar(tmp_path / f"a.{kind}", files)
    long = "\\xff" * 150 + ".png"
    expected = dict.fromkeys(("a.png", "to a.png"), b"")
    expected |= dict.fromkeys((long, "again.png", "and again.png"), b"1" * 600)
    assert names(path) == list(expected)
    assert bytes_in(path) == streamed(path) == expected


@pytest.mark.parametrize("kind", TARS)
def test_a_hard_link_to_what_is_not_before_it_is_a_failure(tmp_path: Path, kind: str) -> None:
    files = [link("a.jpg", "b.jpg"), ("b.jpg", b"2"), link("c.jpg", "\udcff.jpg")]
    path = write_tar(tmp_path / f"a.{kind}", files)
    found = {one.name: one.uri for one in members(path)}
    assert archives.read(found.pop("b.jpg"), str(path), LIMIT) == b"2"
    assert list(found) == ["a.jpg", "c.jpg"]
    for uri, target in zip(found.values(), ["b.jpg", r"\\xff.jpg"], strict=True):
        with pytest.raises(ImageError, match=f"a link to {target}") as caught:
            archives.read(uri, str(path), LIMIT)
        assert caught.value.reason == Reason.CORRUPT


linked_files = st.dictionaries(
    tar_names.map(lambda name: f"{name}.jpg"),
    st.one_of(st.binary(max_size=2000), st.integers(0)),  # the bytes, or which before it it is
    max_size=20,
)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["tar", "tar.gz"]), linked_files)
def test_any_files_and_hard_links_are_each_listed_once(
    tmp_path_factory, kind: str, files: dict[str, bytes | int]
) -> None:
    written: dict[str, bytes] = {}
    entries = []
    for name, content in files.items():
        if isinstance(content, bytes) or not written:
            content = content if isinstance(content, bytes) else b""
            entries.append((name, content))
        else:
            target = list(written)[content % len(written)]
            entries.append(link(name, target))
            content = written[target]
        written[name] = content
    path = write_tar(tmp_path_factory.mktemp("links") / f"a.{kind}", entries)
    expected = {
        name.encode(errors="surrogateescape").decode(errors="backslashreplace"): data
        for name, data in written.items()
    }
    assert sorted(names(path)) == sorted(expected)
    assert bytes_in(path) == streamed(path) == expected


@pytest.mark.parametrize("kind", TARS)
def test_of_a_name_in_a_tar_the_last_counts(tmp_path: Path, kind: str) -> None:
    files = [
        ("a.jpg", b"1" * 600),
        link("was a.jpg", "a.jpg"),
        ("b.jpg", b"2"),
        link("c.jpg", "b.jpg"),
        ("a.jpg", b"3"),
        link("is a.jpg", "a.jpg"),
        ("c.jpg", b"4"),
        link("b.jpg", "a.jpg"),
    ]
    path = write_tar(tmp_path / f"a.{kind}", files)
    assert sorted(names(path)) == ["a.jpg", "b.jpg", "c.jpg", "is a.jpg", "was a.jpg"]
    expected = {"a.jpg": b"3", "was a.jpg": b"1" * 600, "b.jpg": b"3", "c.jpg": b"4"}
    assert bytes_in(path) == streamed(path) == expected | {"is a.jpg": b"3"}


def test_of_a_name_in_a_zip_the_last_counts(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        path = write_zip(tmp_path / "a.zip", [("a.jpg", b"1"), ("b.jpg", b"2"), ("a.jpg", b"3")])
    assert len(members(path)) == 2
    assert bytes_in(path) == {"a.jpg": b"3", "b.jpg": b"2"}


@pytest.mark.parametrize("kind", KINDS)
def test_names_that_differ_in_normalisation_are_two(tmp_path: Path, kind: str) -> None:
    twins = {unicodedata.normalize(form, "é.jpg"): form.encode() for form in ("NFC", "NFD")}
    path = write(tmp_path / f"a.{kind}", twins.items())
    assert len(members(path)) == 2
    assert bytes_in(path) == twins


def joined(path: Path, *parts: bytes) -> Path:
    """A tar of parts, compressed as it is called."""
    whole = b"".join(parts)
    path.write_bytes(gzip.compress(whole) if path.suffix == ".gz" else whole)
    return path


def tar_of(directory: Path, name: str, data: bytes, padding: int | None = None) -> bytes:
    """A tar of one small file, as `tarfile` ends it, or with so many zeros for an end mark."""
    whole = write_tar(directory / "part.tar", [(name, data)]).read_bytes()
    return whole if padding is None else whole[:1024] + bytes(padding)


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
@pytest.mark.parametrize("zeros", [None, 1024, 1536, 1 << 20])
def test_joined_tars_are_one(tmp_path: Path, kind: str, zeros: int | None) -> None:
    files = [("a.jpg", b"1"), ("b.jpg", b"2"), ("a.jpg", b"3")]
    path = joined(
        tmp_path / f"a.{kind}", *(tar_of(tmp_path, name, data, zeros) for name, data in files)
    )
    assert len(members(path)) == 2
    assert bytes_in(path) == streamed(path) == {"a.jpg": b"3", "b.jpg": b"2"}


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_what_comes_behind_very_many_zeros_is_not_listed_but_seen(
    tmp_path: Path, kind: str
) -> None:
    parts = [tar_of(tmp_path, "a.jpg", b"1", 20 << 20), tar_of(tmp_path, "b.jpg", b"2")]
    assert names(joined(tmp_path / f"a.{kind}", *parts)) == ["a.jpg", None]


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
@pytest.mark.parametrize("zeros", [100, 512, 700, 1024, 5000, 10240, 1 << 20, (20 << 20) + 1])
def test_zeros_at_the_end_are_no_error(tmp_path: Path, kind: str, zeros: int) -> None:
    path = joined(tmp_path / f"a.{kind}", tar_of(tmp_path, "a.jpg", b"1", zeros))
    assert names(path) == ["a.jpg"]
    assert names(joined(tmp_path / f"empty.{kind}", bytes(zeros))) == []


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
@pytest.mark.parametrize("end", [bytes(512), bytes(512) + b"x" * 512, bytes(2048) + b"x"])
def test_what_is_lost_behind_zeros_is_seen(tmp_path: Path, kind: str, end: bytes) -> None:
    parts = [tar_of(tmp_path, "a.jpg", b"1", 0), end]
    if not end.strip(b"\0"):  # a single block of zeros, and a sound header behind
        parts.append(tar_of(tmp_path, "b.jpg", b"2"))
    path = joined(tmp_path / f"a.{kind}", *parts)
    *listed, broken = members(path)
    assert [one.name for one in listed] == ["a.jpg"]
    assert broken.name is None
    assert reason_of(lambda: archives.read(broken.uri, str(path), LIMIT)) == Reason.CORRUPT


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_no_zeroed_header_goes_unseen(tmp_path: Path, kind: str) -> None:
    photos = PHOTOS[1:]  # the first is a zero, which behind zeros would make them an end mark
    whole = write_tar(tmp_path / "whole.tar", photos).read_bytes()
    for number in range(len(photos)):
        at = number * 1024
        path = joined(tmp_path / f"a.{kind}", whole[:at], bytes(512), whole[at + 512 :])
        assert names(path) == [*(name for name, _ in photos[:number]), None]


def test_an_end_mark_between_a_header_and_its_description_is_damage(tmp_path: Path) -> None:
    whole = write_tar(
        tmp_path / "a.tar", [("a.jpg", b"1"), ("b" * 200 + ".jpg", b"2")]
    ).read_bytes()
    path = joined(tmp_path / "a.tar", whole[: 1024 + 1024], bytes(1024), whole[1024 + 1024 :])
    assert names(path) == ["a.jpg", None]


def test_a_zip_tells_its_members_versions_apart(tmp_path: Path) -> None:
    before = write_zip(tmp_path / "a.zip", [("a.jpg", b"1"), ("b.jpg", b"2")])
    after = write_zip(tmp_path / "b.zip", [("c.jpg", b"0"), ("a.jpg", b"1"), ("b.jpg", b"3")])
    stamps = [{one.name: one.stamp for one in members(path)} for path in (before, after)]
    assert stamps[0]["a.jpg"] == stamps[1]["a.jpg"]
    assert stamps[0]["b.jpg"] != stamps[1]["b.jpg"]


def test_a_large_archive_is_many_groups(tmp_path: Path) -> None:
    for kind, groups in (("tar", 3), ("zip", 3), ("tar.gz", 1)):
        path = write(tmp_path / f"a.{kind}", [(f"{n}.jpg", b"") for n in range(600)])
        assert len({one.group for one in members(path)}) == groups


@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_gives_no_more_than_is_asked_for(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"a.{kind}", [("bomb.jpg", bytes(10 * LIMIT)), ("b.jpg", b"fine")])
    found = {one.name: one.uri for one in members(path)}
    assert len(archives.read(found["bomb.jpg"], str(path), LIMIT)) == LIMIT
    assert archives.read(found["b.jpg"], str(path), LIMIT) == b"fine"


def test_a_header_that_lies_takes_no_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("a.jpg")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    path = tmp_path / "a.tar"
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    assert names(path) == [None]


@pytest.mark.parametrize("size", [-512, -1, -(1 << 40)])
def test_a_negative_size_ends_the_listing(tmp_path: Path, size: int) -> None:
    first, second = tarfile.TarInfo("a.jpg"), tarfile.TarInfo("b.jpg")
    second.size = size
    path = tmp_path / "a.tar"
    path.write_bytes(first.tobuf() + second.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    assert names(path) == ["a.jpg", None]


def test_members_that_cannot_be_unpacked_say_why(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", [("a.jpg", b"1" * 50)])
    whole = path.read_bytes()
    for flag, method, word in [(1, 8, "encrypted"), (0, 9, "method 9"), (0, 14, "method 14")]:
        at = whole.index(b"PK\1\2")
        broken = bytearray(whole)
        broken[at + 8], broken[at + 10] = flag, method
        path.write_bytes(broken)
        (one,) = members(path)
        with pytest.raises(ImageError, match=word):
            archives.read(one.uri, str(path), LIMIT)


def test_a_zip_that_lies_of_sizes_or_sums_is_found_out(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", [("a.jpg", b"1" * 50)])
    whole = path.read_bytes()
    at = whole.index(b"PK\1\2")
    for field in (16, 24, 42):  # CRC, size, where it is
        broken = bytearray(whole)
        broken[at + field] ^= 1
        path.write_bytes(broken)
        (one,) = members(path)
        assert reason_of(lambda one=one: archives.read(one.uri, str(path), LIMIT)) in (
            Reason.CORRUPT,
            Reason.TRUNCATED,
        )


def test_a_zip_behind_a_program_is_a_zip(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", PHOTOS)
    path.write_bytes(b"#!/bin/sh\n" * 100 + path.read_bytes())
    assert bytes_in(path) == dict(PHOTOS)


def test_a_zip_without_a_mark_may_have_names_in_utf8(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", [("é.jpg", b"1")])
    whole = path.read_bytes().replace(b"PK\1\2\x14\x03\x14\0\0\x08", b"PK\1\2\x14\x03\x14\0\0\0")
    path.write_bytes(whole)
    assert names(path) == ["é.jpg"]


def test_a_tar_may_be_compressed_whatever_its_name(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "plain.tar", PHOTOS)
    packed = tmp_path / "packed.tar"
    packed.write_bytes(
        gzip.compress(path.read_bytes()[:3000]) + gzip.compress(path.read_bytes()[3000:])
    )
    assert bytes_in(packed) == dict(PHOTOS)


def test_many_threads_read_at_once(tmp_path: Path) -> None:
    for kind in ("tar", "zip"):
        path = write(tmp_path / f"a.{kind}", PHOTOS)
        found = members(path) * 20
        with ThreadPoolExecutor(8) as threads:
            calls = [threads.submit(archives.read, one.uri, str(path), LIMIT) for one in found]
        assert [call.result() for call in calls] == [data for _, data in PHOTOS] * 20


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("a.tar", True), ("a.TGZ", True), ("gs://b/a.tar.gz", True), ("a.zip", True),
     ("a.tar/b", False), ("a.tar.jpg", False), ("a.gz", False), ("zip", False)],
)  # fmt: skip
def test_what_is_an_archive(name: str, is_one: bool) -> None:
    assert archives.is_archive(name) is is_one


def test_a_damaged_zip_may_be_mended_and_one_that_is_packed_otherwise_is_another(
    tmp_path: Path,
) -> None:
    files = [(name, random.Random(name).randbytes(500)) for name in ("a.jpg", "b.jpg")]
    path = write_zip(tmp_path / "a.zip", files)
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + bytes(100) + whole[200:])
    damaged, *_ = members(path)
    with pytest.raises(ImageError) as error:
        archives.read(damaged.uri, str(path), 1 << 20)
    assert error.value.reason == Reason.CORRUPT and not error.value.permanent
    path.write_bytes(whole)
    assert members(path)[0] == damaged, "nothing else would have it tried again"

    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr(*files[0])
    assert members(path)[0].stamp != damaged.stamp
