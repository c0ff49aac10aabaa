"""Every kind of input, through the whole job: each image once, under its id, and not done twice."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to

from captioner import listing
from captioner.errors import UserError
from captioner.listing import paths
from pipelines import checking
from pipelines.listing import ListImages

Write = Callable[..., Path]


@pytest.fixture
def photos(picture: Write, tmp_path: Path) -> Path:
    """Seven pictures, of as many colours."""
    for number in range(7):
        picture(tmp_path / "photos" / f"{number}.png")
    return tmp_path / "photos"


def pack(path: Path, photos: Path) -> Path:
    """An archive of all photos, and a text beside each."""
    path.parent.mkdir(exist_ok=True)
    files = sorted(photos.iterdir())
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, file.name)
                archive.writestr(f"{file.stem}.txt", "a sidecar")
    else:
        with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
            for file in files:
                archive.add(file, file.name)
                archive.add(file, f"{file.stem}.txt")
    return path


def ids_in(archive: str, photos: Path) -> set[str]:
    return {f"{archive}/{file.name}" for file in photos.iterdir()}


def assert_listed_alike(source: str) -> None:
    """A job lists in parallel what a check lists one after the other."""
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        assert_that(pipeline | ListImages(source), equal_to(list(listing.everything(source))))


def test_archives_among_images(stub, picture: Write, photos: Path) -> None:
    picture(stub.input / "top.png")
    for name in ("a.tar", "b.tar.gz", "c/d.zip"):
        pack(stub.input / name, photos)
    expected = {"top.png"}.union(*(ids_in(a, photos) for a in ("a.tar", "b.tar.gz", "c/d.zip")))
    assert_listed_alike(str(stub.input))
    paths.check(str(stub.input), str(stub.output))
    checking.check_sample(str(stub.input), str(stub.output))

    images = stub.run()["images"]
    assert (images["done"], images["seen"]) == (22, 22)
    results = stub.results()
    assert set(results) == expected
    colours = [[results[id] for id in sorted(ids_in(a, photos))] for a in ("a.tar", "c/d.zip")]
    assert colours[0] == colours[1]
    assert colours[0] == [results[id] for id in sorted(ids_in("b.tar.gz", photos))]
    assert len({tuple(colour) for colour in colours[0]}) == 7
    assert stub.run()["images"]["skipped"] == 22

    picture(photos / "3.png")
    pack(stub.input / "c/d.zip", photos)
    again = stub.run()["images"]
    assert (again["done"], again["skipped"]) == (1, 21)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip"])
def test_an_archive_is_an_input(stub, photos: Path, name: str) -> None:
    path = str(pack(stub.input / name, photos))
    assert_listed_alike(path)
    paths.check(path, str(stub.output))
    checking.check_sample(path, str(stub.output))
    stub.run(input=path)
    assert set(stub.results()) == ids_in(name, photos)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip"])
def test_of_a_broken_archive_no_loss_is_silent(stub, photos: Path, picture: Write, name) -> None:
    for number in range(40):
        picture(photos / f"{number}.png").write_bytes(os.urandom(2000))
    picture(photos / "0.png")
    path = pack(stub.input / name, photos)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    picture(stub.input / "top.png")
    stub.run()
    assert stub.failures()[name] == "corrupt"
    assert set(stub.results()) == {"top.png"} | (set() if name == "a.zip" else {f"{name}/0.png"})
    assert stub.run()["images"]["done"] == 0


def test_an_archive_that_is_none_of_its_images_is_refused(stub) -> None:
    (stub.input / "a.tar").write_bytes(b"no archive")
    with pytest.raises(UserError, match="none of 1 files tried .*1 corrupt"):
        checking.check_sample(str(stub.input / "a.tar"), str(stub.output))


def test_a_list_and_its_directory_are_one(stub, photos: Path) -> None:
    pack(photos / "a.tar", photos)
    files = sorted(path.name for path in photos.iterdir())
    path = photos / "list.jsonl"
    path.write_text("".join(json.dumps({"path": name}) + "\n" for name in [*files, "gone.png"]))
    assert_listed_alike(str(path))
    paths.check(str(path), str(stub.output))
    checking.check_sample(str(path), str(stub.output))
    stub.run(input=str(path))
    assert set(stub.results()) == {f"{n}.png" for n in range(7)} | {
        f"a.tar/{n}.png" for n in range(7)
    }
    assert stub.failures() == {"gone.png": "missing"}
    path.unlink()
    assert stub.run(input=str(photos))["images"]["skipped"] == 14


def test_a_compressed_tar_that_is_named_twice(stub, photos: Path) -> None:
    pack(stub.input / "a.tar.gz", photos)
    path = stub.input / "list.txt"
    path.write_text(f"a.tar.gz\n{stub.input}/a.tar.gz\n")
    assert stub.run(input=str(path))["images"]["done"] == 14


def test_what_no_store_knows_is_a_failure(stub, photos: Path) -> None:
    path = photos / "list.txt"
    path.write_text("0.png\nhttps://example.com/a.png\nftp://x/y.tar\n../none.zip\n")
    stub.run(input=str(path))
    assert set(stub.results()) == {"0.png"}
    assert stub.failures() == dict.fromkeys(
        ["https://example.com/a.png", "ftp://x/y.tar", "../none.zip"], "missing"
    )


def test_an_inventory_spares_the_looking_up(stub, photos: Path) -> None:
    path = photos / "inventory.csv"
    path.write_text("path,size,md5\n" + "".join(f"{n}.png,70,{n}\n" for n in range(7)))
    assert_listed_alike(str(path))
    assert {stamp for _, (_, stamp, *_) in listing.everything(str(path))} == {
        f"70:{n}" for n in range(7)
    }
    assert stub.run(input=str(path))["images"]["done"] == 7
    path.write_text(path.read_text().replace("3.png,70,3", "3.png,70,8"))
    assert stub.run(input=str(path))["images"]["done"] == 1


def test_an_output_that_is_a_file_is_refused(stub, picture: Write) -> None:
    picture(stub.input / "a.png")
    stub.output.write_text("mine")
    with pytest.raises(UserError, match="a file; --output is the directory"):
        paths.check(str(stub.input), str(stub.output))


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_a_list_without_images_is_refused(stub, text: str) -> None:
    (stub.input / "list.txt").write_text(text)
    with pytest.raises(UserError, match="names no images"):
        paths.check(str(stub.input / "list.txt"), str(stub.output))


def test_a_broken_list_is_refused_before_and_in_the_job(stub) -> None:
    path = stub.input / "list.jsonl"
    path.write_text('"a.png"\n' * 3 + "{\n")
    with pytest.raises(UserError, match="line 4"):
        paths.check(str(path), str(stub.output))
    with pytest.raises(Exception, match="line 4"):
        stub.run(input=str(path))


@pytest.fixture
def half_failed(stub, photos: Path, picture: Write) -> Path:
    """A job's output, of which some failed, in passing and for good; where its failures are."""
    for file in list(photos.iterdir()):
        shutil.copy(file, stub.input)
    (stub.input / "broken.png").write_bytes(b"no image")
    pack(stub.input / "a.tar", photos)
    (photos / "0.png").write_bytes(b"no image either")
    pack(stub.input / "b.tar.gz", photos)
    (stub.input / "6.png").unlink()
    (stub.input / "6.png").symlink_to("/proc/self/mem")
    stub.run()
    assert set(stub.failures()) == {"broken.png", "b.tar.gz/0.png", "6.png"}
    (stub.input / "6.png").unlink()
    picture(stub.input / "6.png")
    return stub.output / "failures"


def test_failures_are_tried_again(stub, picture: Write, half_failed: Path, photos: Path) -> None:
    assert_listed_alike(str(half_failed))
    paths.check(str(half_failed), str(stub.output))
    checking.check_sample(str(half_failed), str(stub.output))
    images = stub.run(input=str(half_failed))["images"]
    assert (images["seen"], images["done"], images["failed_before"]) == (3, 1, 2)
    assert {id for id, _ in listing.everything(str(half_failed))} == {
        "broken.png",
        "b.tar.gz/0.png",
    }

    picture(photos / "0.png")
    pack(stub.input / "b.tar.gz", photos)
    picture(stub.input / "broken.png")
    assert stub.run(input=str(half_failed))["images"]["done"] == 2
    assert list(listing.everything(str(half_failed))) == []


def test_of_names_that_look_the_same_in_an_archive_each_is_tried_again_by_its_own(stub) -> None:
    names = [unicodedata.normalize(form, "\u00e9.png") for form in ("NFD", "NFC")]
    with tarfile.open(stub.input / "a.tar", "w") as archive:
        for name in (*names, "other.png"):
            member = tarfile.TarInfo(name)
            archive.addfile(member, io.BytesIO())  # empty, which fails
    stub.run()
    failed = {line["id"]: line["uri"] for line in stub.lines("failures")}
    assert len(failed) == 3
    again = listing.everything(str(stub.output / "failures"))
    assert {id: uri for id, (uri, *_) in again} == failed


def test_one_file_of_failures_is_an_input(stub, half_failed: Path) -> None:
    for file in half_failed.iterdir():
        ids = {json.loads(line)["id"] for line in file.read_text().splitlines()}
        assert {id for id, _ in listing.everything(str(file))} == ids
        assert_listed_alike(str(file))


def test_failures_that_are_not_as_they_were_written_are_no_input(half_failed: Path) -> None:
    for file in half_failed.iterdir():
        file.write_bytes(file.read_bytes().partition(b"\n")[0][:-9])
        with pytest.raises(UserError, match="not as it was written .* see `captioner verify`"):
            list(listing.everything(str(file)))
        file.write_bytes(b"")  # cut off between two lines
        with pytest.raises(UserError, match="not as it was written .* see `captioner verify`"):
            list(listing.everything(str(half_failed)))


def test_what_is_no_longer_in_its_archive_is_missing(stub, half_failed: Path, photos: Path) -> None:
    (photos / "0.png").unlink()
    pack(stub.input / "b.tar.gz", photos)
    stub.run(input=str(half_failed))
    newest = max(
        stub.lines("failures"), key=lambda line: (line["id"] == "b.tar.gz/0.png", line["run"])
    )
    assert (newest["id"], newest["reason"]) == ("b.tar.gz/0.png", "missing")


def test_an_archive_that_was_broken_is_tried_again_whole(stub, photos: Path, picture) -> None:
    picture(stub.input / "top.png")
    path = pack(stub.input / "a.tar", photos)
    whole = path.read_bytes()
    path.write_bytes(whole[:1560])
    stub.run()
    assert stub.failures().keys() == {"a.tar", "a.tar/0.png"}
    path.write_bytes(whole)
    stub.run(input=str(stub.output / "failures"))
    assert set(stub.results()) == {"top.png"} | ids_in("a.tar", photos)


def test_where_nothing_failed_there_is_nothing_to_try_again(stub, picture: Write) -> None:
    picture(stub.input / "a.png")
    stub.run()
    failures = str(stub.output / "failures")
    paths.check(failures, str(stub.output))
    checking.check_sample(failures, str(stub.output))
    assert stub.run(input=failures, is_partial=True)["images"]["seen"] == 0


def test_photos_of_failures_are_photos(stub, picture: Write) -> None:
    picture(stub.input / "failures/one.png")
    picture(stub.input / "index/two.png")
    assert stub.run(input=str(stub.input / "failures"))["images"]["done"] == 1
