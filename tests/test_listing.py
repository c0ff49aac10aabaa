"""Lists and inventories: any name, and the same said of an image as its directory's listing."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioner import listing
from captioner.errors import UserError
from captioner.listing import lists, rows, stamps


def read(path: Path) -> list[tuple[str, str]]:
    """Ids and URIs that a list names."""
    found = [listed for part in lists.parts(str(path)) for listed in lists.read(part)]
    return [(id, uri) for id, (uri, *_) in found]


def expected(names: list[str], directory: Path) -> list[tuple[str, str]]:
    rooted = [
        name if name.startswith("/") or "://" in name else f"{directory}/{name}" for name in names
    ]
    return [
        (unicodedata.normalize("NFC", name), uri) for name, uri in zip(names, rooted, strict=True)
    ]


def is_plain(name: str) -> bool:
    """Whether a name isn't a URI, which tests don't make up."""
    return "://" not in name


any_names = st.lists(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(is_plain)
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lists")


@settings(deadline=None)
@given(names=any_names, compressed=st.booleans(), ascii=st.booleans())
def test_jsonl_holds_any_name(directory: Path, names, compressed: bool, ascii: bool) -> None:
    lines = [json.dumps({"image": name}, ensure_ascii=ascii) for name in names]
    lines += [json.dumps(name, ensure_ascii=ascii) for name in names]
    data = "\n".join(lines).encode()
    path = directory / ("list.jsonl.gz" if compressed else "list.jsonl")
    path.write_bytes(gzip.compress(data) if compressed else data)
    assert read(path) == expected(names, directory) * 2


csv_names = any_names.filter(lambda names: not any("\0" in name for name in names))


@settings(deadline=None)
@given(names=csv_names, delimiter=st.sampled_from(",;\t"))
def test_csv_holds_any_name(directory: Path, names: list[str], delimiter: str) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([["number", "Image"], *enumerate(names)])
    path = directory / "list.csv"
    path.write_bytes(text.getvalue().encode())
    assert read(path) == expected(names, directory)


line = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\n"), min_size=1)
lines = line.filter(lambda name: name.strip() and not name.endswith("\r") and name[0] != "\ufeff")


@settings(deadline=None)
@given(names=st.lists(lines.filter(is_plain)), end=st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_text_holds_any_name_of_one_line(directory: Path, names: list[str], end: str) -> None:
    path = directory / "list.txt"
    path.write_bytes(end.join(names).encode())
    assert read(path) == expected(names, directory)


def test_a_list_is_told_by_its_name_or_else_by_its_first_line(tmp_path: Path) -> None:
    for name, text in [
        ("a.txt", "image,x\n"),
        ("a.lst", '{"path": "image,x"}\n'),
        ("a.lst", 'size;path\n1;"image,x"\n'),
        ("a.CSV", 'path\n"image,x"\n'),
        ("a.list", "image,x"),
        ("a", "\ufeffimage,x\r\n"),
    ]:
        path = tmp_path / name
        path.write_text(text)
        if name == "a.list":  # a heading by its looks
            assert read(path) == []
        elif name == "a":
            path.write_text("\ufeffx image.jpg\r\n")
            assert read(path) == [("x image.jpg", f"{tmp_path}/x image.jpg")]
        else:
            assert read(path) == [("image,x", f"{tmp_path}/image,x")]


def test_parquet_is_a_list(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"URI": ["s3://b/a.jpg", "c.jpg"], "size": [5, 6], "ETag": ["e", None]})
    parquet.write_table(table, tmp_path / "list.parquet")
    (part,) = lists.parts(str(tmp_path / "list.parquet"))
    assert list(lists.read(part)) == [
        ("s3://b/a.jpg", ("s3://b/a.jpg", "5:e", "", "5:e")),
        ("c.jpg", (f"{tmp_path}/c.jpg", "", "", "")),
    ]
    (tmp_path / "bad.parquet").write_bytes(b"nothing")
    with pytest.raises(UserError, match="Parquet"):
        read(tmp_path / "bad.parquet")


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.txt", b"one\ntwo\xff\n", "line 2: isn't UTF-8"),
        ("a.txt", b"x" * (1 << 21), "line 1: is too long"),
        ("a.csv", b"name\nx\n", "line 2: names no image"),
        ("a.csv", b"image,size\nx,1\ny\n", "line 3: 1 fields"),
        ("a.csv", b'image\n"x\n', "isn't CSV"),
        ("a.jsonl", b'"x"\n\n{"image":\n', "line 3: isn't JSON"),
        ("a.jsonl", b"[1]\n", "line 1: expected an object"),
        ("a.jsonl", b'{"size": 3}\n', "line 1: names no image"),
        ("a.jsonl", b'"\\ud800"\n', "line 1: .* isn't Unicode"),
        ("a.txt.gz", gzip.compress(os.urandom(999).hex().encode())[:500], "is broken"),
        ("manifest.json", b"{}", "isn't the manifest"),
        ("manifest.json", b"[", "isn't the manifest"),
    ],
)
def test_a_broken_list_says_where(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=f"{name}.*{says}"):
        read(tmp_path / name)


def test_names_that_are_not_utf8_come_as_python_writes_them(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 %.jpg")
    (tmp_path / name).write_bytes(b"coffee")
    path = tmp_path / "list.jsonl"
    path.write_text(json.dumps(name) + "\n" + json.dumps(str(tmp_path / name)) + "\n")
    (one, (uri, stamp, _, _)), (other, known) = listing.everything(str(path))
    assert one == "caf\\xe9 %.jpg"
    assert other == f"{tmp_path}/caf\\xe9 %.jpg"
    assert uri.encode() and known[:2] == (uri, stamp)
    (found,) = [each for each in listing.everything(str(tmp_path)) if each[0] == one]
    assert found[1][:2] == (uri, stamp)


def test_a_list_says_of_a_file_what_its_directory_does(tmp_path: Path, picture) -> None:
    for name in ("a.jpg", "b/c [1].jpg"):
        picture(tmp_path / "in" / name)
    listed = sorted(listing.everything(str(tmp_path / "in")))
    path = tmp_path / "in" / "list.txt"
    path.write_text("a.jpg\nb/c [1].jpg\n")
    assert sorted(listing.everything(str(path))) == listed


def test_what_is_not_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("gone.jpg\nhttp://example.com/a.jpg\nbad\0name.jpg\n" + "x" * 5000 + "\n")
    found = list(listing.everything(str(path)))
    assert [uri for _, (uri, *_) in found][:2] == [
        f"{tmp_path}/gone.jpg",
        "http://example.com/a.jpg",
    ]
    assert {stamp for _, (_, stamp, *_) in found} == {""}
    assert len(found) == 4


MD5, MD5_HEX = "CY9rzUYh03PK3k6DJie09g==", "098f6bcd4621d373cade4e832627b4f6"


@pytest.mark.parametrize(
    ("uri", "row", "stamp", "checksum"),
    [
        ("s3://b/a", {"size": "4", "etag": '"abc-2"', "md5": "x"}, "4:abc-2", "4:abc-2"),
        ("gs://b/a", {"size": 4, "md5hash": MD5, "crc32c": "x", "etag": "y"}, f"4:{MD5}", None),
        ("gs://b/a", {"size": 4, "md5": MD5_HEX}, f"4:{MD5}", None),
        ("gs://b/a", {"size": 4, "md5hash": "", "crc32c": "AAA="}, "4:AAA=", None),
        ("gs://b/a", {"size": 4, "etag": "y", "generation": 7}, "4:y", ""),
        ("/in/a", {"size": 4, "lastmodifieddate": "2026"}, "4:2026", ""),
        ("/in/a", {"size": 0, "etag": "x"}, "0:x", ""),
        ("/in/a", {"etag": "x"}, "", ""),
        ("/in/a", {"size": "", "updated": "2024-01-01"}, "", ""),
        ("s3://b/a", {"etag": "x"}, "", ""),
        ("gs://b/a", {"md5": MD5_HEX}, "", ""),
        ("/in/a", {"size": 4}, "", ""),
        ("/in/a", {}, "", ""),
    ],
)
def test_stamps_of_an_inventory(uri: str, row: dict, stamp: str, checksum: str | None) -> None:
    assert stamps.stamp_of(uri, row) == (stamp, stamp if checksum is None else checksum)


def test_columns_may_be_spelled_as_one_likes() -> None:
    spellings = ["Last Modified", "last_modified", "LastModified", "LAST-MODIFIED"]
    assert {rows.simple(spelling) for spelling in spellings} == {"lastmodified"}


def test_rows_of_a_stores_own_report(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_text("bucket,name,size,md5Hash\nphotos,a b.jpg,4,x\nphotos,folder/,0,y\n")
    assert read(path) == [("gs://photos/a b.jpg",) * 2]
    path.write_text("Bucket,Key,Is Latest\nphotos,a+b.jpg,true\nphotos,old,false\nphotos,d/,true\n")
    assert read(path) == [("s3://photos/a+b.jpg",) * 2]


def test_amazons_manifest(tmp_path: Path) -> None:
    manifest = {
        "sourceBucket": "photos",
        "destinationBucket": "arn:aws:s3:::lists",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size, ETag",
        "files": [{"key": "data/1.csv.gz"}, {"key": "data/2.csv.gz"}],
    }
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest))
    found = list(lists.parts(str(path)))
    assert [file for file, *_ in found] == [f"s3://lists/data/{n}.csv.gz" for n in (1, 2)]
    _, columns, bucket = found[0]
    data = tmp_path / "1.csv.gz"
    data.write_bytes(
        gzip.compress(b'"photos","a+b%2F%C3%A9.jpg","5","e"\n"photos","d%2F","0","e"\n')
    )
    uri = "s3://photos/a b/é.jpg"
    assert list(lists.read((str(data), columns, bucket))) == [(uri, (uri, "5:e", "", "5:e"))]
    path.write_text(json.dumps({**manifest, "fileFormat": "ORC"}))
    with pytest.raises(UserError, match="ORC"):
        list(lists.parts(str(path)))
