"""`captioner report`: what the page tells, and that no caption or name is ever markup."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from captioner import cli
from captioner.reporting.page import page
from captioner.reporting.survey import Drawn, Smallest, Survey
from tests.outputs import CaptionJob, grow, record, write_captions
from tests.pages import ATTRIBUTES, HOSTILE, TAGS, Page


def reported(output: Path, *flags: str) -> Page:
    """The page that the command writes."""
    assert cli.main(["report", str(output), *flags]) == 0
    return Page((output / "report.html").read_bytes())


def test_the_page_tells_what_became_of_a_run(tmp_path: Path, picture) -> None:
    job = CaptionJob(tmp_path)
    grow(job, picture)
    found = reported(job.output)
    captions = job.results()
    assert str(len(captions)) in found.texts["b"]
    assert found.texts["h3"] == ["empty: 2"]
    assert {"a/2.png", "empty.png"} <= set(found.texts["bdi"]), "the failures that stand"
    assert set(captions.values()) | set(captions) <= set(found.texts["bdi"])
    assert len(re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", " ".join(found.texts["td"]))) == 3
    # All are in the gallery, and all among the least sure ones.
    assert len(found.sources) == 2 * len(captions)
    assert all(source.startswith("data:image/jpeg;base64,") for source in found.sources)


def test_frames_of_films_are_pictures_too(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from tests import films

    film = films.write(tmp_path / "film.mp4", [(films.RED, 2.0), (films.BLUE, 2.0)])
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    os.mkfifo(tmp_path / "pipe.mp4")
    names = ("film.mp4", "broken.mp4", "gone.mp4", "pipe.mp4")
    uris = [f"{tmp_path}/{name}#t=3.0" for name in names]
    write_captions(tmp_path / "out", [record(uri, uri, uri) for uri in uris])
    found = reported(tmp_path / "out")
    assert found.shown.count("no picture") == 2 * (len(uris) - 1)
    (source,) = {*found.sources}
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))
    assert pixels.shape == (192, 256, 3), f"upright, in the proportions of {film}"
    assert films.colour_of(pixels) == films.BLUE


def test_markup_in_captions_names_and_messages_is_text(tmp_path: Path) -> None:
    write_captions(tmp_path, [record(f"{n}/{text}", text) for n, text in enumerate(HOSTILE)])
    found = reported(tmp_path)
    assert found.tags <= TAGS and found.attributes <= ATTRIBUTES
    for number, text in enumerate(HOSTILE):
        read = text.replace("\0", "\ufffd")
        shown = [one.replace("\0", "\ufffd") for one in found.texts["bdi"]]
        assert read in shown and f"{number}/{read}" in shown
    assert found.shown.count("no picture") == 2 * len(HOSTILE)


@given(st.text(min_size=1))
def test_any_caption_is_shown_as_it_is(text: str) -> None:
    survey = Survey("out", [], captions=1, sample=[record(text, text)])
    survey.texts[text] = survey.lengths[1] = survey.words["word"] = 1
    found = Page(page(survey, {text: "data:image/jpeg;base64,"}))
    # What a reader of HTML makes of line ends.
    read = re.sub(r"\r\n?", "\n", text)
    shown = [re.sub(r"\r\n?", "\n", one) for one in found.texts["bdi"]]
    assert shown.count(read) >= 3, "among the frequent ones, in the gallery, and as the name"
    assert [re.sub(r"\r\n?", "\n", one) for one in found.alternatives] == [read]


@given(st.lists(st.tuples(st.floats(-9, 0), st.integers()), max_size=40), st.integers(1, 9))
def test_the_least_sure_are_the_smallest(offered: list[tuple[float, int]], count: int) -> None:
    smallest = Smallest(count)
    for number, id in offered:
        smallest.offer(number, record(str(id), "", sure=number))
    found = [one.log_probability for one in smallest.records()]
    assert found == sorted(number for number, _ in offered)[:count]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 12)), max_size=60, unique=True),
    st.integers(1, 9),
    st.randoms(),
)
def test_a_sample_has_each_caption_once_whatever_the_order(offered, count, random) -> None:
    samples = []
    for _ in range(2):
        drawn = Drawn(count)
        for id, caption in offered:
            drawn.offer(record(str(id), str(caption)))
        samples.append([(one.id, one.caption) for one in drawn.records()])
        random.shuffle(offered)
    assert samples[0] == samples[1]
    captions = [caption for _, caption in samples[0]]
    assert len(captions) == len(set(captions)) == min(count, len({text for _, text in offered}))


def references(directory: Path, captions: dict[str, list[str]]) -> Path:
    """A collection of which all is in one split."""
    lines = [
        json.dumps({"image": id, "caption": text, "split": "dev"})
        for id, texts in captions.items()
        for text in texts
    ]
    (directory / "references.jsonl").write_text("\n".join(lines))
    return directory / "references.jsonl"


def evaluated(directory: Path, collection: Path, *flags: str) -> Page:
    """The page that `captioner evaluate --html` writes of the captions in a directory."""
    file = directory / "scores.html"
    what = ["--captions", str(directory), "--references", str(collection), "--html", str(file)]
    assert cli.main(["evaluate", *what, *flags]) == 0
    return Page(file.read_bytes())


def test_the_best_and_the_worst_are_shown_with_what_people_say(tmp_path: Path) -> None:
    said = {
        f"{n}.jpg": f"a {animal} runs on the grass" for n, animal in enumerate(["dog", "cow"] * 9)
    }
    said["worst.jpg"] = "something else entirely"
    write_captions(tmp_path / "a", [record(id, text) for id, text in said.items()])
    people = {id: [text, "people say so"] for id, text in said.items()}
    people["worst.jpg"] = ["a plane in the sky", *HOSTILE]
    found = evaluated(tmp_path / "a", references(tmp_path, people))
    assert found.tags <= TAGS and found.attributes <= ATTRIBUTES
    assert found.texts["h2"] == ["Best", "Worst"]
    shown = found.texts["bdi"]
    assert shown.count("worst.jpg") == 1 and shown.index("worst.jpg") > len(shown) / 2
    assert {text.replace("\0", "\ufffd") for text in HOSTILE} <= {
        text.replace("\0", "\ufffd") for text in shown
    }


def test_two_models_are_shown_where_they_differ(tmp_path: Path) -> None:
    animals = ["dog", "cow", "cat", "hen"] * 5
    people = {f"{n}.jpg": [f"a {animal} runs on grass"] for n, animal in enumerate(animals)}
    one = {id: text for id, (text,) in people.items()} | {"3.jpg": "nothing"}
    other = {id: text for id, (text,) in people.items()} | {"7.jpg": "nothing"}
    write_captions(tmp_path / "one", [record(id, text) for id, text in one.items()])
    write_captions(tmp_path / "other", [record(id, text) for id, text in other.items()])
    collection = references(tmp_path, people)
    found = evaluated(tmp_path / "one", collection, "--beside", str(tmp_path / "other"))
    assert found.texts["h2"] == ["Where A is ahead", "Where B is ahead"]
    ids = [text for text in found.texts["bdi"] if text.endswith(".jpg")]
    assert ids == ["7.jpg", "3.jpg"], "and none where both say the same"
    scores = [text for text in found.texts["td"] if text.startswith("0.")]
    assert len(scores) % 2 == 0
    found = evaluated(tmp_path / "one", collection, "--beside", str(tmp_path / "one"))
    assert "h2" not in found.texts


def test_captions_without_a_word_are_captions(tmp_path: Path) -> None:
    write_captions(tmp_path, [record("one.jpg", ""), record("two.jpg", "!")])
    assert "2" in reported(tmp_path).texts["b"]


def test_what_is_no_caption_output_is_said(tmp_path: Path, capsys) -> None:
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "no captions here" in capsys.readouterr().err


def test_failures_that_are_cut_off_are_said(tmp_path: Path, picture, capsys) -> None:
    job = CaptionJob(tmp_path)
    picture(job.input / "a.png")
    (job.input / "empty.png").touch()
    job.run()
    (file,) = (job.output / "failures").iterdir()
    file.write_bytes(file.read_bytes()[:-9])
    assert cli.main(["report", str(job.output)]) == 2
    said = capsys.readouterr().err
    assert f"{file}: not as it was written" in said and "see `captioner verify`" in said


@pytest.mark.slow
def test_a_million_captions_make_a_light_page(tmp_path: Path) -> None:
    write_captions(tmp_path, [record(f"{n}<b>.jpg", f"<i>{n % 5000}") for n in range(1_000_000)])
    found = reported(tmp_path, "--output", str(tmp_path / "report.html"))
    assert "1,000,000" in found.texts["b"] and found.tags <= TAGS
    assert (tmp_path / "report.html").stat().st_size < 1e6
    assert found.sources == []
