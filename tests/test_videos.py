"""Films: which frames are looked at, what is wrong with a film, and how captions are written."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("av")

from captioner import cli, storage, training, videos
from captioner.images import ImageError, Limits, Reason
from captioner.model import Captioner
from captioner.search import SearchOptions
from captioner.videos import Stretch, writing
from tests import films, toy_training
from tests.films import BLUE, GREEN, GREY, RED

SCENES = [(RED, 2.0), (GREEN, 3.0), (BLUE, 1.5)]
CODECS = {"mp4": "mpeg4", "avi": "mpeg4", "mkv": "libx264", "webm": "libvpx", "m2ts": "mpeg2video"}
ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")  # begins an object, then its size


def chosen(film: Path, every: float | None = None) -> list[tuple[float, object]]:
    """When and in which colour the frames are that are looked at; by scene without `every`."""
    with videos.opened(str(film)) as opened:
        found = videos.by_interval(opened, every) if every else videos.by_scene(opened)
        return [
            (round(start, 3), films.colour_of(frame.decode(16).pixels)) for start, frame in found
        ]


def shown(film: Path) -> tuple[int, videos.Film]:
    """How many frames there are, and the film at its end."""
    with videos.opened(str(film)) as opened:
        return len(list(opened.frames())), opened


# Which frames are looked at


@pytest.mark.parametrize("ending", CODECS)
def test_frames_are_those_that_are_shown_at_the_interval(tmp_path, ending):
    film = films.write(tmp_path / f"film.{ending}", SCENES, CODECS[ending])
    expected = [(0, RED), (1.5, RED), (3, GREEN), (4.5, GREEN), (6, BLUE)]
    assert chosen(film, 1.5) == expected
    assert chosen(film, 100) == [(0, RED)]


@pytest.mark.parametrize("ending", CODECS)
def test_a_scene_begins_where_it_was_cut(tmp_path, ending):
    film = films.write(tmp_path / f"film.{ending}", SCENES, CODECS[ending])
    assert chosen(film) == [(0, RED), (2, GREEN), (5, BLUE)]


def test_a_flash_is_no_scene(tmp_path):
    scenes = [(RED, 2.0), (GREY, 0.2), (RED, 2.0), (BLUE, 1.0)]
    film = films.write(tmp_path / "film.mp4", scenes)
    assert chosen(film)[0] == (0, RED)
    assert chosen(film)[-1] == (4.2, BLUE)
    assert len(chosen(film)) <= 3


def test_frames_that_nobody_looks_at_go_by(tmp_path):
    colours = [RED, GREEN, BLUE, GREY] * 5
    film = films.write(tmp_path / "film.mp4", [(colour, 1.0) for colour in colours])
    assert chosen(film, 3.0) == [(number * 3.0, colours[number * 3]) for number in range(7)]
    with videos.opened(str(film)) as opened:
        passed = 0
        for frame in opened.frames():
            passed += 1
            opened.skip_to(frame.start + 5)
    assert passed < 100  # of 200


def test_a_frame_that_stays_is_looked_at_once(tmp_path):
    pictures = [Image.new("RGB", films.SIZE, colour) for colour in (RED, GREEN, BLUE, GREY)]
    film = films.write_pictures(tmp_path / "film.mkv", pictures, [0, 35, 71, 90])
    assert chosen(film, 1.0) == [(0, RED), (4, GREEN), (8, BLUE), (9, GREY)]
    assert chosen(film, 3.6) == [(0, RED), (3.6, GREEN), (7.2, BLUE)]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_film_that_was_taken_on_its_side_is_seen_upright(tmp_path, degrees):
    picture = Image.new("RGB", (96, 64), RED)
    picture.paste(BLUE, (0, 0, 96, 16))  # what is above
    turned = picture.rotate(-degrees, expand=True)
    film = films.write_pictures(tmp_path / "film.mp4", [turned] * 5, range(5), rotation=degrees)
    with videos.opened(str(film)) as opened:
        decoded = next(opened.frames()).decode(96)
    assert (decoded.width, decoded.height) == (96, 64)
    assert films.colour_of(decoded.pixels[4:18, 4:-4]) == BLUE
    assert films.colour_of(decoded.pixels[30:-4, 4:-4]) == RED


@pytest.mark.parametrize("ending", CODECS)
def test_behind_its_end_a_film_has_no_frame(tmp_path, ending):
    film = str(films.write(tmp_path / f"film.{ending}", SCENES, CODECS[ending]))
    assert films.colour_of(videos.frame_at(film, 6.499, 16).pixels) == BLUE
    for time in (6.6, 7.0, 100.0, 1e9):
        with pytest.raises(ImageError, match="it ends at 6.5") as raised:
            videos.frame_at(film, time, 16)
        assert raised.value.reason == Reason.MISSING


def test_the_last_frame_stays_for_as_long_as_there_is_sound(tmp_path):
    film = films.write_with_silence(tmp_path / "film.mp4", RED, 3.0)
    assert films.colour_of(videos.frame_at(str(film), 2.9, 16).pixels) == RED
    with pytest.raises(ImageError, match="it ends at 3"):
        videos.frame_at(str(film), 3.2, 16)


def test_a_film_is_read_where_it_is(tmp_path, s3_bucket):
    film = films.write(tmp_path / "film.mp4", SCENES)
    uri = f"{s3_bucket}/films/film.mp4"
    storage.create(uri, film)
    with videos.opened(uri) as opened:
        found = [films.colour_of(one.frame.decode(16).pixels) for one in videos.by_scene(opened)]
    assert found == [RED, GREEN, BLUE]


# What is wrong with a film


def reason(film: Path, limits: Limits = videos.LIMITS) -> Reason:
    with pytest.raises(ImageError) as raised:
        with videos.opened(str(film), limits) as opened:
            list(opened.frames())
    assert str(raised.value)
    return raised.value.reason


def break_off(film: Path) -> None:
    """Take a film's last third away."""
    film.write_bytes(film.read_bytes()[: -film.stat().st_size // 3])


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_of_a_film_that_breaks_off_there_is_what_comes_before(tmp_path, ending):
    options = {"movflags": "faststart"} if ending == "mp4" else {}
    film = films.write(tmp_path / f"film.{ending}", SCENES, **options)
    whole, opened = shown(film)
    assert (whole, opened.problem) == (65, None)
    break_off(film)
    some, opened = shown(film)
    assert 10 < some < 60
    assert opened.problem.reason == Reason.TRUNCATED
    assert "of 6.5 seconds" in str(opened.problem)


def test_a_film_without_its_beginning_or_end_is_none(tmp_path):
    film = films.write(tmp_path / "film.mp4", SCENES)
    content = film.read_bytes()
    for part in (content[: len(content) // 2], content[len(content) // 2 :], content[:100]):
        film.write_bytes(part)
        assert reason(film) == Reason.NOT_AN_IMAGE


def test_without_frames_there_is_no_film(tmp_path):
    empty = tmp_path / "empty.mp4"
    empty.touch()
    assert reason(empty) == Reason.EMPTY
    for ending in ("avi", "mp4", "mkv"):
        none = films.write(tmp_path / f"none.{ending}", [])
        assert reason(none) in (Reason.EMPTY, Reason.NOT_AN_IMAGE)


@pytest.mark.parametrize(
    "content",
    [
        "no film\n" * 1000,
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{film}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {film}\n",
        "<?xml version='1.0'?><MPD><BaseURL>{film}</BaseURL></MPD>",
    ],
)
def test_what_names_other_files_is_no_film(tmp_path, content):
    other = films.write(tmp_path / "other.m2ts", SCENES, "mpeg2video")
    film = tmp_path / "film.mp4"
    film.write_text(content.format(film=other))
    assert reason(film) == Reason.NOT_AN_IMAGE


def test_what_is_too_large_or_too_slow_is_named(tmp_path):
    film = films.write(tmp_path / "film.mp4", SCENES)
    assert reason(film, Limits(pixels=64 * 48 - 1)) == Reason.TOO_LARGE
    assert reason(film, Limits(seconds=-1.0)) == Reason.TIMED_OUT


def test_the_first_frame_counts_however_short_the_film(tmp_path):
    film = films.write(tmp_path / "film.mp4", [(RED, 0.1)])
    content = bytearray(film.read_bytes())
    unit = content.index(b"mdhd") + 16  # parts of a second that times are in: 4 bytes
    content[unit] = 127
    film.write_bytes(content)
    assert len(chosen(film, 1.0)) == 1


def test_a_seek_that_leads_nowhere_is_no_fault_of_the_store(tmp_path):
    film = films.write(tmp_path / "film.wmv", [(RED, 1.0), (BLUE, 1.0)], "wmv2")
    content = bytearray(film.read_bytes())
    content[content.index(ASF_DATA) + 23] = 255  # it claims to be larger than a file can be
    film.write_bytes(content)
    assert films.colour_of(videos.frame_at(str(film), 1.5, 16).pixels) == BLUE


@pytest.mark.parametrize(("ending", "codec"), [("mp4", "mpeg4"), ("wmv", "wmv2")])
@given(data=st.data())
def test_whatever_the_bytes_a_film_ends(tmp_path_factory, ending, codec, data):
    directory = tmp_path_factory.getbasetemp()
    whole = directory / f"whole.{ending}"
    if not whole.exists():
        options = {"movflags": "faststart"} if ending == "mp4" else {}
        films.write(whole, [(RED, 1.0), (BLUE, 1.0)], codec, **options)
    content = bytearray(whole.read_bytes())
    places = st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255))
    for place, byte in data.draw(st.lists(places, min_size=1, max_size=30)):
        content[place] = byte
    spoiled = directory / f"spoiled.{ending}"
    spoiled.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        found = chosen(spoiled, 0.5)
    except ImageError as error:
        assert error.reason in Reason
    else:
        assert 1 <= len(found) <= 20
    with contextlib.suppress(ImageError):
        videos.frame_at(str(spoiled), 1.5, 16)


# How captions are written

captions = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
captions |= st.sampled_from(["a & b <c> --> d", "<v Bob>", "1", "WEBVTT", "NOTE", "&amp;"])


@st.composite
def stretches(draw: st.DrawFn) -> list[Stretch]:
    """Stretches one behind the other."""
    starts = sorted(draw(st.sets(st.integers(0, 10**9), max_size=8)))
    ends = [*starts[1:], *([starts[-1] + 1] if starts else [])]
    return [
        Stretch(start / 1000, end / 1000, draw(captions), -draw(st.floats(0, 50)))
        for start, end in zip(starts, ends, strict=True)
    ]


def on_one_line(stretch: Stretch) -> tuple[float, float, str]:
    return stretch.start, stretch.end, " ".join(stretch.caption.split()) or "-"


def seconds(text: str) -> float:
    hours, minutes, rest = re.fullmatch(r"(\d{2,}):([0-5]\d):([0-5]\d[.,]\d{3})", text).groups()
    return round(int(hours) * 3600 + int(minutes) * 60 + float(rest.replace(",", ".")), 3)


def parsed(cue: str) -> tuple[float, float, str]:
    times, text = cue.split("\n", 1)
    start, end = times.split(" --> ")
    return seconds(start), seconds(end), text


@given(stretches())
def test_webvtt_says_what_it_was_given(given):
    head, *cues = "".join(writing.vtt(given)).removesuffix("\n").split("\n\n")
    assert head.strip() == "WEBVTT"
    found = []
    for start, end, text in map(parsed, cues):
        assert not re.search(r"[<>\n]|&(?!amp;|lt;|gt;)", text)
        plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        found.append((start, end, plain))
    assert found == list(map(on_one_line, given))


@given(stretches())
def test_srt_says_what_it_was_given(given):
    numbered = [cue.split("\n", 1) for cue in "".join(writing.srt(given)).split("\n\n")[:-1]]
    assert [number for number, _ in numbered] == [str(n + 1) for n in range(len(given))]
    assert [parsed(cue) for _, cue in numbered] == list(map(on_one_line, given))


@given(stretches())
def test_jsonl_says_what_it_was_given(given):
    rows = [json.loads(line) for line in writing.jsonl(given, "a/film.mp4")]
    found = [Stretch(*(row[name] for name in Stretch.__annotations__)) for row in rows]
    assert found == given
    for row in rows:
        assert row["id"] == f"a/film.mp4#t={row['start']}" and row["schema"] == writing.FORMAT


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-9, 0)), max_size=30))
def test_neighbours_that_say_the_same_are_one(said):
    given = [Stretch(n, n + 1, text, p) for n, (text, p) in enumerate(said)]
    found = list(videos.merged(given))
    assert all(one.caption != other.caption for one, other in zip(found, found[1:], strict=False))
    for before in given:  # in just one of them
        (of,) = [one for one in found if one.start <= before.start < one.end]
        assert of.caption == before.caption and of.log_probability >= before.log_probability
    assert sum(one.end - one.start for one in found) == len(given)


# The command


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    directory = f"{tmp_path_factory.mktemp('model')}/model"
    training.train(toy_training.write_features(tmp_path_factory), directory, toy_training.OPTIONS)
    return directory


def test_a_film_is_captioned_as_its_frames_are(model, tmp_path, capsys):
    film = films.write(tmp_path / "film.mp4", SCENES)
    command = ["caption", str(film), "--model", model, "--engine", "tensorflow"]
    command += ["--width", "2", "--min-length", "2"]
    assert cli.main([*command, "--format", "jsonl", "--scenes"]) == 0
    rows = list(map(json.loads, capsys.readouterr().out.splitlines()))
    captioner = Captioner.load(
        model, search=SearchOptions(width=2, min_length=2), engine="tensorflow"
    )
    with videos.opened(str(film)) as opened:
        frames = [(one.start, one.frame.decode(32).pixels) for one in videos.by_scene(opened)]
    texts = [one.text for one in captioner.caption([pixels for _, pixels in frames])]
    kept = [n for n in range(3) if n == 0 or texts[n] != texts[n - 1]]
    assert [(row["start"], row["caption"]) for row in rows] == [
        (frames[n][0], texts[n]) for n in kept
    ]
    assert [row["end"] for row in rows] == [*(row["start"] for row in rows[1:]), 6.5]
    told = tmp_path / "told.json"
    assert cli.main([*command, "--scenes", "--json", str(told)]) == 0
    stretches = json.loads(told.read_text())["stretches"]
    assert [(one["start"], one["end"]) for one in stretches] == [
        (row["start"], row["end"]) for row in rows
    ]
    capsys.readouterr()
    assert cli.main([*command, "--format", "vtt", "--every", "1"]) == 0
    written = capsys.readouterr().out
    assert written.startswith("WEBVTT\n\n00:00:00.000 --> ") and "--> 00:00:06.500\n" in written
    assert cli.main(command) == 0
    assert capsys.readouterr().out.startswith(f"00:00:00.000  {texts[0]}\n")


def test_a_films_mistakes_are_said_in_a_line(model, tmp_path, capsys, monkeypatch):
    def refused(*arguments: str) -> str:
        assert cli.main(["caption", *arguments, "--model", model]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ") and said.count("\n") == 1
        return said

    film = str(films.write(tmp_path / "film.mp4", SCENES, movflags="faststart"))
    assert "a film goes alone" in refused(film, film)
    assert "parquet" in refused(film, "--format", "parquet")
    assert "seconds" in refused(film, "--every", "0")
    assert "--scenes" in refused(film, "--every", "1", "--scenes")
    break_off(Path(film))
    assert "breaks off" in refused(film, "--engine", "tensorflow")
    Path(film).write_bytes(b"")
    assert f"{film}: the file is empty" in refused(film)
    assert "no such" in refused(f"{tmp_path}/other.mp4")
    picture = tmp_path / "picture.png"
    Image.new("RGB", (9, 9)).save(picture)
    assert "for a film" in refused(str(picture), "--scenes")
    Path(film).write_bytes(b"film")
    monkeypatch.setitem(sys.modules, "av", None)
    assert "pip install 'captioner[video]'" in refused(film)
