"""`captioner write-back`: captions beside their images and in them, and nothing else touched."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageSequence

from captioner import cli, storage
from captioner.captions import CaptionRecord
from captioner.images import content_hash
from captioner.writing_back.metadata import Metadata
from captioner.writing_back.refused import Refused
from tests.outputs import CaptionJob
from tests.test_report import record, write_captions

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
KINDS = ("photo.jpg", "photo.png", "photo.webp", "photo.tif")


@pytest.fixture
def job(tmp_path: Path, picture) -> CaptionJob:
    """Captions of three images, one of them in a directory."""
    job = CaptionJob(tmp_path)
    for name in ("a.png", "b.png", "c/d.png"):
        picture(job.input / name)
    job.run()
    return job


@pytest.fixture
def said(capsys) -> Callable[..., str]:
    """Runs the command and returns what it says, errors behind."""

    def run(output: Path | str, *flags: object, status: int = 0) -> str:
        assert cli.main(["write-back", str(output), *map(str, flags)]) == status
        return "".join(capsys.readouterr())

    return run


def state(directory: Path) -> dict[str, tuple[bytes, int]]:
    """The files of a directory: their bytes, and when they were written."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return {
        str(path.relative_to(directory)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in files
    }


def frames(path: Path) -> list[tuple[str, bytes]]:
    """All that is to be seen of an image file."""
    with Image.open(path) as image:
        return [(frame.mode, frame.tobytes()) for frame in ImageSequence.Iterator(image)]


def descriptions(path: Path) -> dict[str, str]:
    """What XMP says of an image."""
    pyexiv2 = pytest.importorskip("pyexiv2")
    with pyexiv2.Image(str(path)) as image:
        return image.read_xmp().get("Xmp.dc.description", {})


def noise(path: Path, **options: Any) -> Path:
    """A picture that no coder leaves the same by chance, with metadata of its own."""
    pixels = np.random.default_rng(len(path.name)).integers(0, 255, (40, 60, 3), np.uint8)
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    Image.fromarray(pixels).save(path, exif=exif, icc_profile=PROFILE, **options)
    return path


def captioned(directory: Path, images: list[Path], caption: str = "a dog") -> Path:
    """An output with a caption of each image, whose run was given the directory."""
    output = directory.parent / f"{directory.name}-captions"
    records = [
        CaptionRecord(
            image.name,
            str(image),
            content_hash(image.read_bytes()),
            *(60, 40),
            caption,
            -3.0,
            (),
            "en",
            "model",
            "",
        )
        for image in images
    ]
    write_captions(output, records)
    given_as_input(output, directory)
    return output


def given_as_input(output: Path, directory: Path) -> None:
    """What a run of an output writes down of its input."""
    asked = json.dumps({"input": str(directory)}).encode()
    storage.create(f"{output}/plans/run/asked.json", asked)


def test_texts_come_beside_the_images(job: CaptionJob, said) -> None:
    before = state(job.input)
    assert "3 captions written, 0 there already" in said(job.output)
    found = job.results()
    for id, caption in found.items():
        assert (job.input / id).with_suffix(".txt").read_text() == f"{caption}\n"
    assert {name: before[name] for name in before} == {
        name: kept for name, kept in state(job.input).items() if name in before
    }
    assert len(state(job.input)) == 6


def test_a_second_time_nothing_is_written(job: CaptionJob, said) -> None:
    said(job.output)
    before = state(job.input)
    assert "0 captions written, 3 there already" in said(job.output)
    assert state(job.input) == before


def test_the_next_run_takes_no_text_for_an_image(job: CaptionJob, said) -> None:
    (job.input / "note.txt").write_text("beside no image")
    said(job.output)
    images = job.run()["images"]
    assert (images["seen"], images["skipped"], images["done"]) == (4, 3, 0)
    assert job.failures() == {"note.txt": "not_an_image"}


def test_a_dry_run_writes_nothing(job: CaptionJob, said) -> None:
    before = state(job.input)
    assert "3 captions would be written" in said(job.output, "--dry-run")
    assert state(job.input) == before


def test_another_text_stays_unless_it_may_be_overwritten(job: CaptionJob, said) -> None:
    (job.input / "a.txt").write_text("what I say myself\n")
    (job.input / "b.txt").write_bytes(b"\xff\xfe no text")
    shown = said(job.output, status=4)
    assert "a.png: another text is there: what I say myself" in shown
    assert "b.png: " in shown and "1 caption written" in shown
    assert (job.input / "a.txt").read_text() == "what I say myself\n"
    assert "1 caption written, 1 there already, 1 can't" in said(
        job.output, "--overwrite", status=4
    )
    assert (job.input / "a.txt").read_text() == job.results()["a.png"] + "\n"
    assert (job.input / "b.txt").read_bytes() == b"\xff\xfe no text", "is no caption"


def test_what_an_earlier_run_said_is_replaced(job: CaptionJob, said, picture) -> None:
    said(job.output)
    picture(job.input / "a.png")
    job.run()
    assert "1 caption written, 2 there already, 0 can't" in said(job.output)
    assert (job.input / "a.txt").read_text() == job.results()["a.png"] + "\n"


def test_images_that_differ_in_their_ending_only_have_one_text(tmp_path: Path, said) -> None:
    images = [noise(tmp_path / name) for name in ("one.jpg", "one.png")]
    write_captions(tmp_path / "out", [record(path.name, path.name, str(path)) for path in images])
    flags = ("--below", tmp_path, "--overwrite")
    assert "1 caption would be written" in said(tmp_path / "out", *flags, "--dry-run", status=4)
    assert "1 caption written" in said(tmp_path / "out", *flags, status=4)
    text = (tmp_path / "one.txt").read_text()
    assert text in ("one.jpg\n", "one.png\n")


def test_an_image_under_two_names_has_one_text(tmp_path: Path, said) -> None:
    image = noise(tmp_path / "one.jpg")
    records = [record(name, "a dog", str(image)) for name in ("one.jpg", "photos/one.jpg")]
    write_captions(tmp_path / "out", records)
    flags = ("--below", tmp_path)
    assert "1 caption written, 1 there already" in said(tmp_path / "out", *flags)
    assert "0 captions written, 2 there already" in said(tmp_path / "out", *flags)


def test_where_an_image_is_gone_there_is_no_text(job: CaptionJob, said) -> None:
    (job.input / "c/d.png").unlink()
    (job.input / "c").rmdir()
    assert "c/d.png: it is not there" in said(job.output, status=4)
    assert not (job.input / "c").exists()


HOSTILE = (
    "{root}/../outside.jpg",
    "file://{root}/..%2Foutside.jpg",
    "file://{root}/x%00/outside.jpg",
    "{root}/link/outside.jpg",
    "/etc/passwd.jpg",
    "{root}evil.jpg",
)


@pytest.mark.parametrize("into", ["text", "image"])
@pytest.mark.parametrize("uri", HOSTILE)
def test_nothing_is_written_outside_of_the_input(tmp_path: Path, said, uri: str, into: str) -> None:
    pytest.importorskip("pyexiv2")
    root = tmp_path / "photos"
    root.mkdir()
    noise(tmp_path / "outside.jpg")
    (root / "link").symlink_to(tmp_path)
    output = tmp_path / "captions"
    given_as_input(output, root)
    write_captions(output, [record("../../a.jpg\n\x1b[2J", "x", uri.format(root=root))])
    before = state(tmp_path)
    shown = said(output, "--into", into, status=4)
    said_so = "no file can be called" if "%00" in uri else "isn't below what a run was given"
    assert said_so in shown and "\x1b" not in shown
    assert state(tmp_path) == before


def test_an_image_in_an_archive_stays_there(tmp_path: Path, said) -> None:
    uri = f"{tmp_path}/photos.tar#name=a.jpg&offset=512&size=9"
    write_captions(tmp_path / "out", [record("photos.tar/a.jpg", "x", uri)])
    assert "in an archive" in said(tmp_path / "out", "--below", tmp_path, status=4)


def test_a_frame_of_a_film_stays_in_it(tmp_path: Path, said) -> None:
    uri = f"{tmp_path}/film.mp4#t=2.0"
    write_captions(tmp_path / "out", [record("film.mp4#t=2.0", "x", uri)])
    assert "frame of a film" in said(tmp_path / "out", "--below", tmp_path, status=4)
    assert not list(tmp_path.glob("film*"))


def test_an_image_called_as_a_text_is_not_replaced_by_one(tmp_path: Path, said) -> None:
    image = noise(tmp_path / "photo.png").rename(tmp_path / "photo.txt")
    noise(tmp_path / "photo.jpg")
    records = [record(name, "x", f"{tmp_path}/{name}") for name in ("photo.txt", "photo.jpg")]
    write_captions(tmp_path / "out", records)
    before = image.read_bytes()
    said(tmp_path / "out", "--below", tmp_path, "--overwrite", status=4)
    assert image.read_bytes() == before


def test_texts_beside_images_in_a_bucket(s3_bucket: str, tmp_path: Path, said) -> None:
    place = f"{s3_bucket}/{uuid.uuid4().hex}"
    image = noise(tmp_path / "photo.jpg")
    storage.create(f"{place}/photo.jpg", image)
    write_captions(tmp_path / "out", [record("photo.jpg", "a dog", f"{place}/photo.jpg")])
    assert "isn't below" in said(tmp_path / "out", status=4)
    assert "1 caption written" in said(tmp_path / "out", "--below", place)
    assert storage.read_bytes(f"{place}/photo.txt") == b"a dog\n"
    assert "0 captions written, 1 there already" in said(tmp_path / "out", "--below", place)


@pytest.mark.parametrize("name", KINDS)
def test_a_description_leaves_every_pixel(tmp_path: Path, said, name: str) -> None:
    pytest.importorskip("pyexiv2")
    image = noise(tmp_path / name)
    image.chmod(0o640)
    before = frames(image)
    output = captioned(tmp_path, [image])
    assert "1 caption written" in said(output, "--into", "image")
    assert descriptions(image) == {'lang="x-default"': "a dog", 'lang="en"': "a dog"}
    assert frames(image) == before
    with Image.open(image) as opened:
        assert opened.getexif()[0x010F] == "Maker" and opened.info["icc_profile"] == PROFILE
    assert image.stat().st_mode & 0o777 == 0o640
    written = image.read_bytes()
    assert "0 captions written, 1 there already" in said(output, "--into", "image")
    assert image.read_bytes() == written
    assert sorted(os.listdir(tmp_path)) == sorted([name]), "nothing is left beside it"


def test_the_coded_data_of_a_jpeg_is_the_same(tmp_path: Path, said) -> None:
    pytest.importorskip("pyexiv2")
    image = noise(tmp_path / "photo.jpg", progressive=True)
    image.write_bytes(image.read_bytes() + b"what a telephone puts behind its pictures")
    coded = image.read_bytes().partition(b"\xff\xdb")[2]
    said(captioned(tmp_path, [image]), "--into", "image")
    assert image.read_bytes().partition(b"\xff\xdb")[2] == coded


def test_pages_and_frames_are_all_kept_or_nothing_is_written(tmp_path: Path, said) -> None:
    pytest.importorskip("pyexiv2")
    images = []
    for name in ("pages.tif", "moving.webp", "moving.png"):
        others = [Image.new("RGB", (60, 40), (shade, 9, 9)) for shade in (10, 90, 200)]
        images.append(noise(tmp_path / name, save_all=True, append_images=others))
    before = {image: frames(image) for image in images}
    assert cli.main(["write-back", str(captioned(tmp_path, images)), "--into", "image"]) in (0, 4)
    assert {image: frames(image) for image in images} == before


def test_a_person_s_description_stays_unless_it_may_be_overwritten(tmp_path: Path, said) -> None:
    pyexiv2 = pytest.importorskip("pyexiv2")
    image = noise(tmp_path / "photo.jpg")
    with pyexiv2.Image(str(image)) as opened:
        opened.modify_iptc({"Iptc.Application2.Caption": "my own words"})
        opened.modify_exif({"Exif.Image.ImageDescription": "my own words"})
    output = captioned(tmp_path, [image])
    before = image.read_bytes()
    assert "another text is there: my own words" in said(output, "--into", "image", status=4)
    assert image.read_bytes() == before
    said(output, "--into", "image", "--overwrite")
    with pyexiv2.Image(str(image)) as opened:
        assert opened.read_iptc()["Iptc.Application2.Caption"] == "a dog"
        assert opened.read_exif()["Exif.Image.ImageDescription"] == "a dog"


def test_an_image_that_has_changed_is_not_described_by_its_old_caption(tmp_path, said) -> None:
    pyexiv2 = pytest.importorskip("pyexiv2")
    image = noise(tmp_path / "photo.jpg")
    output = captioned(tmp_path, [image])
    noise(image, quality=50)
    assert "has changed since" in said(output, "--into", "image", status=4)
    with pyexiv2.Image(str(image)) as opened:
        opened.modify_exif({"Exif.Image.ImageDescription": "OLYMPUS DIGITAL CAMERA"})
    assert "has changed since" in said(output, "--into", "image", "--overwrite", status=4)


@pytest.mark.parametrize("name", ["photo.gif", "photo.bmp"])
def test_images_that_can_t_be_described_are_named(tmp_path: Path, said, name: str) -> None:
    pytest.importorskip("pyexiv2")
    Image.new("RGB", (4, 4)).save(tmp_path / name)
    output = captioned(tmp_path, [tmp_path / name])
    assert f"{name}: " in said(output, "--into", "image", status=4)


def test_links_gone_and_broken_images_are_named(tmp_path: Path, said) -> None:
    pytest.importorskip("pyexiv2")
    image = noise(tmp_path / "photo.jpg")
    (tmp_path / "link.jpg").symlink_to(image)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (tmp_path / "gone.jpg").touch()
    (tmp_path / "endless.jpg").touch()
    files = [tmp_path / name for name in ("link.jpg", "broken.jpg", "gone.jpg", "endless.jpg")]
    output = captioned(tmp_path, files)
    (tmp_path / "gone.jpg").unlink()
    (tmp_path / "endless.jpg").unlink()
    os.mkfifo(tmp_path / "endless.jpg")
    before = state(tmp_path)
    shown = said(output, "--into", "image", status=4)
    assert all(f"{path.name}: " in shown for path in files) and "4 can't be written" in shown
    assert state(tmp_path) == before


@pytest.mark.parametrize("name", KINDS)
def test_an_image_that_breaks_off_is_described_or_refused(tmp_path: Path, name: str) -> None:
    pytest.importorskip("pyexiv2")
    image = noise(tmp_path / name)
    whole, target, refused = image.read_bytes(), Metadata(), 0
    for length in range(1, len(whole), len(whole) // 50):
        image.write_bytes(whole[:length])
        try:
            target.read(record(name, "a dog", str(image)))
            target.write(
                record(name, "a dog", str(image)), is_new=True, is_ours=False, dry_run=False
            )
        except Refused:
            refused += 1
            assert image.read_bytes() == whole[:length]
    assert refused


@settings(deadline=None)
@given(st.text(min_size=1))
def test_any_caption_is_described_as_it_is_or_refused(tmp_path_factory, text: str) -> None:
    pytest.importorskip("pyexiv2")
    image = noise(tmp_path_factory.mktemp("any") / "photo.jpg")
    one = record("photo.jpg", text, str(image))
    target = Metadata()
    try:
        target.write(one, is_new=True, is_ours=False, dry_run=False)
    except Refused:
        assert not target.read(one)
    else:
        assert target.read(one) == {text.strip()}


def test_what_is_no_caption_output_is_said(tmp_path: Path, said) -> None:
    assert "no captions here" in said(tmp_path, status=2)
