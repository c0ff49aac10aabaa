"""Films among the images of a job: each frame is one result or one failure, once."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import sys
import time
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("av")

from captioner import captions, cli, compacting, isolation, listing, storage, subtitles, videos
from captioner.captions import CaptionRecord
from captioner.errors import UserError
from captioner.images import ImageError, Limits, Reason
from captioner.tasks import Reference, Task
from pipelines import checking, estimating
from pipelines.reading import ReadTasks
from tests import films
from tests.conftest import StubJob
from tests.films import BLUE, GREEN, RED
from tests.outputs import CaptionJob, record, write_captions

SCENES = [(RED, 2.0), (GREEN, 3.0), (BLUE, 1.0)]
AT = {"0.0": RED, "2.0": GREEN, "4.0": GREEN}
CODECS = {"mp4": "mpeg4", "avi": "mpeg4", "mkv": "libx264", "webm": "libvpx", "m2ts": "mpeg2video"}


def are_close(found: list[int], colour: tuple[int, int, int]) -> bool:
    return all(abs(one - other) < 12 for one, other in zip(found, colour, strict=True))


def fill(stub: StubJob, picture) -> dict[str, object]:
    """Images and films, whole and broken: what is to become of each id."""
    picture(stub.input / "a/photo.png", RED)
    (stub.input / "a/broken.png").touch()
    films.write(stub.input / "a/trip.mp4", SCENES)
    films.write(stub.input / "b/trip.MKV", SCENES, "libx264")
    (stub.input / "b/empty.mp4").touch()
    (stub.input / "b/none.avi").write_text("not a film")
    cut = films.write(stub.input / "cut.mp4", [(RED, 2.0), (GREEN, 4.0)], movflags="faststart")
    cut.write_bytes(cut.read_bytes()[: -cut.stat().st_size // 6])
    return {
        "a/photo.png": RED,
        "a/broken.png": "empty",
        **{f"a/trip.mp4#t={at}": colour for at, colour in AT.items()},
        **{f"b/trip.MKV#t={at}": colour for at, colour in AT.items()},
        "b/empty.mp4": "empty",
        "b/none.avi": "not_an_image",
        "cut.mp4#t=0.0": RED,
        "cut.mp4#t=2.0": GREEN,
        "cut.mp4#t=4.0": "truncated",
    }


def check(stub: StubJob, expected: dict[str, object]) -> None:
    """See that all ended as was expected."""
    results, failures = stub.results(), stub.failures()
    assert results.keys().isdisjoint(failures)
    assert {*results, *failures} == expected.keys()
    for id, become in expected.items():
        if isinstance(become, str):
            assert failures[id] == become, id
        else:
            assert are_close(results[id], become), id


def test_each_frame_is_one_result_or_one_failure_and_is_done_once(stub, picture):
    expected = fill(stub, picture)
    manifest = stub.run()
    check(stub, expected)
    assert manifest["images"]["seen"] == len(expected)
    assert manifest["images"]["done"] == 9
    again = stub.run()["images"]
    assert (again["done"], again["skipped"], again["failed_before"]) == (0, 9, 4)
    assert sum(again["failed"].values()) == 0
    check(stub, expected)


def test_a_film_that_changed_is_done_again_and_another_interval_adds_to_it(stub, picture):
    films.write(stub.input / "film.mp4", SCENES)
    stub.run()
    assert stub.run(every=1.0)["images"]["done"] == 3
    films.write(stub.input / "film.mp4", [(BLUE, 3.0)])
    images = stub.run()["images"]
    assert (images["done"], images["absent"]) == (2, 4)


def test_films_and_their_parts_share_shards(stub, picture):
    for number in range(6):
        films.write(stub.input / f"{number}.mp4", [(RED, 1.0)])
    manifest = stub.run(shard_size=100)
    assert manifest["images"]["done"] == 6
    assert len(manifest["shards"]) == 1
    films.write(stub.input / "long.mp4", [(RED, 20.0)])
    manifest = stub.run(shard_size=20, every=0.1)
    assert manifest["images"]["done"] == 6 * 9 + 200
    assert len(manifest["shards"]) > 1


@pytest.mark.parametrize("ending", CODECS)
def test_a_frame_is_the_same_however_it_is_come_to(tmp_path, ending):
    scenes = [((40 * n % 250, 90 * n % 250, 20 * n % 250), 0.7) for n in range(40)]
    film = str(films.write(tmp_path / f"film.{ending}", scenes, CODECS[ending]))
    with videos.opened(film) as opened:
        one_pass = [frame.decode(16) for _, frame in videos.by_interval(opened, 1.1)]
    assert len(one_pass) == 26
    times = [round(1.1 * n, 3) for n in range(26)]
    for chosen in (times, times[3:9], times[20:], times[::7]):
        with videos.opened(film) as opened:
            found = [frame.decode(16) for frame in videos.at_times(opened, chosen)]
        for seconds, one in zip(chosen, found, strict=True):
            assert (one.pixels == one_pass[times.index(seconds)].pixels).all(), seconds
    alone = videos.frame_at(film, times[11], 16)
    isolated = isolation.shared().decode_frame(film, times[11], 16)
    isolation.shared().close()
    assert (alone.pixels == one_pass[11].pixels).all()
    assert (isolated.pixels == alone.pixels).all()


class Slow(io.FileIO):
    """A file that takes half a second a read."""

    def read(self, *arguments: int) -> bytes:
        time.sleep(0.5)
        return super().read(*arguments)


class Away(io.FileIO):
    """A file whose store is away for some seconds, at the third read."""

    reads = 0

    def read(self, *arguments: int) -> bytes:
        self.reads += 1
        time.sleep(6 if self.reads == 3 else 0)
        return super().read(*arguments)


@pytest.mark.parametrize("file", [Slow, Away])
def test_frames_far_behind_a_keyframe_or_in_a_slow_store_may_take_their_time(
    stub, monkeypatch, file
):
    film = films.of_one_keyframe(stub.input / "film.mp4")
    ids = [videos.id_of(str(film), seconds) for seconds in (8.0, 9.0)]
    references = [Reference(id, id, "1:1", str(film)) for id in ids]
    job = stub.job()
    task = Task.of(references, job.settings).publish(job.plan, "images-00000")
    read = ReadTasks(job, 16, seconds=5.0)
    read.setup()
    began = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(storage, "open", file)
        patch.setattr(isolation, "shared", None)  # for no frame is a child asked
        items = list(read.process(task))
    assert time.monotonic() - began > 5.0, "else this shows nothing"
    assert [item.problem for item in items] == [None, None]


def test_a_suspected_film_is_decoded_elsewhere(stub, picture):
    expected = fill(stub, picture)
    # As an earlier run leaves it that was killed with every task begun.
    stub.run()
    for kind in ("shards", "index", "failures"):
        for file in (stub.output / kind).iterdir():
            file.unlink()
    stub.run()
    check(stub, expected)


def test_failures_of_films_are_tried_again(stub, picture):
    expected = fill(stub, picture)
    stub.run()
    films.write(stub.input / "b/empty.mp4", [(RED, 3.0)])
    films.write(stub.input / "cut.mp4", [(RED, 2.0), (GREEN, 4.0)])
    source = str(stub.output / "failures")
    assert {id for id, _ in listing.everything(source)} == {
        "a/broken.png", "b/none.avi", "cut.mp4#t=4.0", "b/empty.mp4#t=0.0", "b/empty.mp4#t=2.0"
    }  # fmt: skip
    stub.run(input=source, is_partial=True)
    results = stub.results()
    assert are_close(results["cut.mp4#t=4.0"], GREEN)
    assert are_close(results["b/empty.mp4#t=2.0"], RED)
    assert len(results) == sum(not isinstance(become, str) for become in expected.values()) + 3


def test_frames_to_try_again_are_parted_as_those_of_any_film(stub):
    cut = films.write(stub.input / "cut.mp4", [(RED, 1.0), (GREEN, 20.0)], movflags="faststart")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    stub.run(every=0.1)
    listed = dict(listing.everything(str(stub.output / "failures")))
    groups = Counter(group for _, _, _, group in listed.values())
    assert len(listed) > 64 and max(groups.values()) == 64
    times = [videos.frame_of(id)[1] for id in listed]
    assert times == sorted(times)


def test_a_dry_run_knows_what_frames_have_to_read(stub):
    film = films.of_one_keyframe(stub.input / "film.mp4")
    known = estimating.estimate(stub.job(every=1.0), stub.work())
    assert known.to_do == 10
    assert known.read == pytest.approx(film.stat().st_size / 10)


def test_captions_may_be_of_frames_at_any_interval(stub):
    films.write(stub.input / "film.mp4", SCENES)
    file = stub.input.parent / "captions.csv"
    file.write_text("image,caption\nfilm.mp4#t=1.0,red\n")
    report = checking.report_captions(str(stub.input), str(file), None, None, every=1.0)
    assert report.images == 1
    with pytest.raises(UserError, match="has no caption for any of the 3 images"):
        checking.report_captions(str(stub.input), str(file), None, None)


def test_one_film_and_a_list_of_films_are_inputs(stub):
    film = films.write(stub.input / "film.mp4", SCENES)
    (stub.input / "list.txt").write_text("film.mp4\n")
    ids = [f"film.mp4#t={at}" for at in AT]
    for source in (film, stub.input / "list.txt"):
        assert [id for id, _ in listing.everything(storage.absolute(str(source)))] == ids
    stub.run(input=str(film))
    assert sorted(stub.results()) == ids


@pytest.mark.parametrize("ending", [*CODECS, "mpg"])
def test_a_film_is_planned_to_its_end(tmp_path, ending):
    codec = CODECS.get(ending, "mpeg2video")
    film = films.write(tmp_path / f"film.{ending}", [(RED, 6.0), (GREEN, 6.3)], codec)
    assert [one.seconds for one in videos.planned(str(film))] == [0, 2, 4, 6, 8, 10, 12]


def test_a_film_is_not_planned_for_ever(tmp_path):
    film = films.write(tmp_path / "film.mp4", SCENES)
    (one,) = videos.planned(str(film), 6 / 100_001)
    with pytest.raises(ImageError) as raised:
        videos.check(one.uri, str(film))
    assert raised.value.reason == Reason.TOO_LARGE and "--every" in str(raised.value)


# Opens films as ever, but for two.
CHILD = """
import ctypes, sys, time, av
from captioner import isolation

DEEDS = {"crash.mp4": lambda: ctypes.string_at(0), "hang.mp4": lambda: time.sleep(600)}
av_open = av.open

def open_or_do(file, **options):
    DEEDS.get(file.name.rpartition("/")[2], int)()
    return av_open(file, **options)

av.open = open_or_do
isolation.main(int(sys.argv[1]))
"""


def test_a_film_that_crashes_or_hangs_what_opens_it_costs_itself_alone(stub, monkeypatch):
    for name in ("crash", "film", "hang"):
        films.write(stub.input / f"{name}.mp4", SCENES)
    decoder = isolation.IsolatedDecoder(Limits(seconds=10.0), (sys.executable, "-c", CHILD))
    monkeypatch.setattr(isolation, "shared", lambda: decoder)
    stub.run()
    assert stub.results().keys() == {f"film.mp4#t={at}" for at in AT}
    assert stub.failures() == {"crash.mp4": "crashed", "hang.mp4": "timed_out"}


def test_without_pyav_films_fail_until_it_is_there(stub, picture, monkeypatch, tmp_path):
    picture(stub.input / "photo.png")
    films.write(stub.input / "film.mp4", SCENES)
    (tmp_path / "without").mkdir()
    (tmp_path / "without/av.py").write_text("raise ImportError")
    isolation.shared().close()
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path / "without")  # the child's path, too
        patch.delitem(sys.modules, "av")
        stub.run()
    assert stub.failures() == {"film.mp4": "unreadable"}
    (failure,) = stub.lines("failures")
    assert "pip install 'captioner[video]'" in failure["message"]
    assert stub.run()["images"]["done"] == 3


# Subtitles


def cues(file: Path) -> list[tuple[str, str]]:
    return re.findall(r"(\S+) --> \S+\n(.*)\n", file.read_text())


def test_each_film_has_its_subtitles(tmp_path, picture, capsys):
    job = CaptionJob(tmp_path)
    picture(job.input / "photo.png")
    films.write(job.input / "a/trip one.mp4", SCENES)
    films.write(job.input / "b/trip one.mp4", [(BLUE, 3.0)])
    job.run()
    output = tmp_path / "subtitles"
    command = ["subtitles", str(job.output), "--output", str(output), "--json", "-"]
    assert cli.main(command) == 0
    assert json.loads(capsys.readouterr().out) == {"directory": str(output), "films": 2}
    first, second = (
        output / subtitles.file_name(f"{parent}/trip one.mp4", "vtt") for parent in "ab"
    )
    assert {first, second} == set(output.iterdir())
    said = job.results()
    assert cues(first) == [
        ("00:00:00.000", said["a/trip one.mp4#t=0.0"]),
        ("00:00:02.000", said["a/trip one.mp4#t=2.0"]),
    ]
    assert "00:00:02.000 --> 00:00:06.000" in first.read_text()
    assert cues(second) == [("00:00:00.000", said["b/trip one.mp4#t=0.0"])]


def test_of_a_film_that_was_replaced_only_what_it_shows_now_is_said(tmp_path):
    job = CaptionJob(tmp_path)
    films.write(job.input / "film.mp4", [(RED, 6.0)])
    films.write(job.input / "other.mp4", [(RED, 6.0)])
    job.run(every=1.0)
    films.write(job.input / "film.mp4", [(GREEN, 2.0), (BLUE, 2.0)])
    job.run(every=2.0)
    assert len(job.results()) == 12
    subtitles.write(str(job.output), str(tmp_path / "to"), "vtt")
    now, other = (
        tmp_path / "to" / subtitles.file_name(f"{film}.mp4", "vtt") for film in ("film", "other")
    )
    assert "00:00:06.000" in other.read_text()
    assert "00:00:04.000" in now.read_text() and "00:00:06.000" not in now.read_text()
    compacting.compact(str(job.output), str(tmp_path / "compacted"))
    subtitles.write(str(tmp_path / "compacted"), str(tmp_path / "again"), "vtt")
    assert (tmp_path / "again" / now.name).read_text() == now.read_text()


def test_subtitles_of_captions_of_features_are_of_all_frames(tmp_path):
    frames = [record(f"film.mp4#t={2.0 * n}", f"caption {n}") for n in range(4)]
    frames = [dataclasses.replace(one, content_hash=f"{n}") for n, one in enumerate(frames)]
    write_captions(tmp_path / "captions", frames)
    subtitles.write(str(tmp_path / "captions"), str(tmp_path / "to"), "srt")
    (file,) = (tmp_path / "to").iterdir()
    assert re.findall(r"caption \d", file.read_text()) == [f"caption {n}" for n in range(4)]


def test_films_whose_names_are_the_same_to_readers_have_their_own_subtitles(tmp_path):
    job = CaptionJob(tmp_path)
    for form in ("NFC", "NFD"):
        films.write(job.input / unicodedata.normalize(form, "é.mp4"), SCENES)
    job.run()
    frames = [videos.frame_of(id) for id in job.results()]
    assert len(frames) == 6 and len({film for film, _ in frames}) == 2
    assert subtitles.write(str(job.output), str(tmp_path / "to"), "vtt") == 2


def frames(captions: dict[float, str]) -> list[CaptionRecord]:
    return [record(videos.id_of("f.mp4", seconds), text) for seconds, text in captions.items()]


def said(output: Path) -> list[tuple[float, float, str]]:
    """When each caption is shown, from and to, by the subtitles of the one film."""
    subtitles.write(str(output), f"{output}-said", "vtt")
    (file,) = Path(f"{output}-said").iterdir()
    found = re.findall(r":(\d\d\.\d+) --> \S+:(\d\d\.\d+)\n(.*)", file.read_text())
    return [(float(start), float(end), text) for start, end, text in found]


def test_of_a_frame_that_failed_nothing_is_said(tmp_path):
    captioned = frames({0.0: "a dog", 2.0: "a dog", 6.0: "a dog", 10.0: "a cat"})
    failed = [videos.id_of("f.mp4", seconds) for seconds in (4.0, 8.0, 12.0)]
    write_captions(tmp_path / "out", captioned, failed=failed)
    assert said(tmp_path / "out") == [(0, 4, "a dog"), (6, 8, "a dog"), (10, 12, "a cat")]


def test_frames_at_two_intervals_last_until_the_next(tmp_path):
    write_captions(tmp_path / "out", frames({0.0: "a", 2.0: "b", 4.0: "c"}), "images-0")
    write_captions(tmp_path / "out", frames({2.5: "d", 5.0: "e"}), "images-1")
    assert said(tmp_path / "out") == [
        (0, 2, "a"), (2, 2.5, "b"), (2.5, 4, "d"), (4, 5, "c"), (5, 5.5, "e")
    ]  # fmt: skip


def test_a_film_that_was_mended_and_tried_again_is_said_from_its_beginning(tmp_path):
    failed = [videos.id_of("f.mp4", seconds) for seconds in (4.0, 6.0)]
    write_captions(tmp_path / "out", frames({0.0: "a", 2.0: "b"}), failed=failed)
    mended = frames({4.0: "c", 6.0: "d"})
    write_captions(tmp_path / "out", mended, "images-1", stamp="another")
    expected = [(0, 2, "a"), (2, 4, "b"), (4, 6, "c"), (6, 8, "d")]
    assert said(tmp_path / "out") == expected


def test_of_a_film_that_was_replaced_by_a_broken_one_nothing_is_said(tmp_path):
    for number, failed in enumerate(("f.mp4", "f.mp4#t=0.0")):
        output = tmp_path / str(number)
        write_captions(output, frames({0.0: "a", 2.0: "b"}))
        write_captions(output, [], "images-1", failed=[failed], stamp="another")
        assert said(output) == []


@pytest.mark.parametrize(
    "film", ["../../x.mp4", "/etc/x.mp4", "a\\..\\x.mp4", "\n\0é<&.mp4", ".mp4", "𠀀" * 62 + ".mp4"]
)
def test_subtitles_names_lead_nowhere(film):
    name = subtitles.file_name(film, "vtt")
    assert re.fullmatch(r"[\w.-]+-[0-9a-f]{8}\.vtt", name) and not name.startswith(".")
    assert len(name.encode()) < 255
    assert subtitles.file_name(film + "x", "vtt") != name
    assert videos.frame_of(videos.id_of(film, 1.5)) == (film, 1.5)


def test_an_output_without_films_has_no_subtitles(tmp_path, picture):
    job = CaptionJob(tmp_path)
    picture(job.input / "photo.png")
    job.run()
    with pytest.raises(UserError, match="no film"):
        subtitles.write(str(job.output), str(tmp_path / "to"), "vtt")
    assert [record.id for record in captions.read(str(job.output))] == ["photo.png"]
    assert json.loads((next((job.output / "runs").iterdir())).read_text())["images"]["done"] == 1
