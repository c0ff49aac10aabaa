"""`captioner app`: what the page tells, what it refuses, and that nothing it shows is markup."""

from __future__ import annotations

import base64
import io
import math
import os
import socket
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from captioner import app, cli, corpora
from captioner.app import parts, pictures
from captioner.app.run import Query, Run
from captioner.captions import CaptionRecord
from captioner.errors import UserError
from captioner.images import LIMITS
from captioner.model import Captioner
from captioner.search import SearchOptions
from tests.outputs import CaptionJob, grow, record, write_captions
from tests.pages import ATTRIBUTES, MARKED, TAGS, Page
from tests.untrained import create, grid_encoder

streamlit = pytest.importorskip("streamlit")
testing = pytest.importorskip("streamlit.testing.v1")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    """One that looks at places, and one that doesn't."""
    directory = tmp_path_factory.mktemp("models")
    return {
        name: create(directory, name, encoder=grid_encoder()) for name in ("attention", "merge")
    }


Open = Callable[..., "testing.AppTest"]


@pytest.fixture
def opened(monkeypatch, models) -> Open:
    """Opens the page, with a run or without, as a new session does."""

    def open_page(output: Path | None = None, model: str = "attention") -> testing.AppTest:
        arguments = [f"--model={models[model]}", *([f"--captions={output}"] if output else [])]
        monkeypatch.setattr(sys, "argv", ["page.py", *arguments])
        page = testing.AppTest.from_file(Path(app.__file__).with_name("page.py"))
        page.default_timeout = 300
        return run(page)

    return open_page


def run(page: testing.AppTest) -> testing.AppTest:
    """Runs the page again; no exception reaches it."""
    page.run()
    assert not page.exception
    return page


def shown(page: testing.AppTest) -> Page:
    """All the HTML on the page."""
    parts = (part.proto.body for part in page.get("html"))
    return Page("".join(part for part in parts if not part.startswith("<s")).encode())


def dropped(page: testing.AppTest, *files: tuple[str, bytes]) -> Page:
    """What the page shows once files are dropped."""
    page.file_uploader[0].set_value([(name, data, "image/png") for name, data in files])
    return shown(run(page))


def in_view(page: testing.AppTest, view: str) -> testing.AppTest:
    """The page run again with a view open, which Streamlit's own test forgets each time."""
    page.session_state["view"] = view
    return run(page)


def of_colour(number: int = 0, size: tuple[int, int] = (40, 30)) -> bytes:
    """A picture's file; different numbers, different pictures."""
    pixels = np.random.default_rng(number).integers(0, 255, (size[1], size[0], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def header_of(width: int, height: int) -> bytes:
    """A PNG that only says how large it is."""
    whole = bytearray(of_colour())
    whole[16:24] = struct.pack(">II", width, height)
    whole[29:33] = struct.pack(">I", zlib.crc32(whole[12:29]))
    return bytes(whole)


def test_an_image_is_captioned_as_the_model_does_it(opened, models) -> None:
    captioner = Captioner.load(models["attention"], batch_size=1, engine="tensorflow")
    (expected,) = captioner.caption([of_colour()])
    found = dropped(opened(), ("one.png", of_colour()))
    assert found.texts["p"].count(expected.text) == 0, "it is in a bdi"
    assert expected.text in found.texts["bdi"]
    assert "one.png, 40 × 30 pixels" in found.texts["bdi"]
    texts = [text for text, _ in expected.candidates]
    assert [text for text in found.texts["bdi"] if text in texts][1:][: len(texts)] == texts
    shares = [parts.percent(math.exp(number)) for _, number in expected.candidates]
    assert [text for text in found.texts["td"] if text.endswith("%")] == shares
    words = corpora.words(expected.text, captioner.language)
    assert found.texts["bdi"][-len(words) :] == words, "where it looked"
    assert len(found.sources) == 1 + len(words)
    assert all(source.startswith("data:image/jpeg;base64,") for source in found.sources)


@pytest.mark.parametrize(
    ("share", "text"),
    [(1, "100.0%"), (0.1234, "12.3%"), (0.001, "0.1%"), (0.000_05, "0.005%"), (0, "< 0.001%")],
)
def test_small_shares_can_be_told_apart(share, text) -> None:
    assert parts.percent(share) == text


def test_where_a_model_looks_is_bright() -> None:
    picture = Image.new("RGB", (80, 40), "white")
    (source,) = pictures.maps(picture, [[[0.0, 1.0]]])
    data = base64.b64decode(source.partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("L"), int)
    assert pixels.shape == (40, 80)
    assert pixels[:, -10:].min() > pixels[:, :10].max() + 60


def test_a_model_without_places_says_so(opened) -> None:
    found = dropped(opened(model="merge"), ("one.png", of_colour()))
    assert any("sees the picture as a whole" in text for text in found.texts["p"])
    assert len(found.sources) == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"MZ this is no image", "not_an_image"),
        (of_colour()[:200], "truncated"),
        (header_of(100_000, 100_000), "too_large"),
        (bytes(LIMITS.bytes + 1), "too_large"),
    ],
    ids=["empty", "not_an_image", "truncated", "pixels", "bytes"],
)
def test_what_is_no_image_has_the_reason_that_the_pipelines_give(opened, data, reason) -> None:
    found = dropped(opened(), ("bad.png", data))
    assert found.texts["b"] == [reason]
    assert "bad.png" in found.texts["p"]
    assert not found.sources


def test_several_are_captioned_and_one_is_looked_at(opened) -> None:
    page = opened()
    found = dropped(page, ("a.png", of_colour(1)), ("b", b"no"), ("c.png", of_colour(3, (9, 99))))
    assert "a.png, 40 × 30 pixels" in found.texts["bdi"]
    assert {"b", "c.png"} <= set(found.texts["bdi"])
    page.button[-1].click()
    assert "c.png, 9 × 99 pixels" in shown(run(page)).texts["bdi"]


def test_the_settings_are_the_search_s(opened, models) -> None:
    page = opened()
    page.sidebar.slider[0].set_value(2)
    page.sidebar.slider[1].set_value((3, 6))
    page.sidebar.text_input[0].set_value("dog, red")
    page.sidebar.selectbox[0].set_value("de")
    found = dropped(page, ("one.png", of_colour()))
    search = SearchOptions(
        width=2, min_length=3, max_length=6, forbid=("dog", "red"), language="de", attention=True
    )
    captioner = Captioner.load(models["attention"], search=search, batch_size=1)
    (expected,) = captioner.caption([of_colour()])
    texts = [text for text, _ in expected.candidates]
    assert len(texts) == 2 and [text for text in found.texts["bdi"] if text in texts][1:] == texts


def test_captions_are_drawn_at_random_where_that_is_asked_for(opened, models) -> None:
    page = opened()
    page.sidebar.toggle[0].set_value(True)
    run(page)
    page.sidebar.number_input[0].set_value(4)
    page.sidebar.number_input[1].set_value(7)
    found = dropped(page, ("one.png", of_colour()))
    search = SearchOptions(sample=True, top_k=4, seed=7)
    captioner = Captioner.load(models["attention"], search=search, batch_size=1)
    assert captioner.caption([of_colour()])[0].text in found.texts["bdi"]


def test_what_can_t_be_asked_for_is_said(opened) -> None:
    page = opened()
    page.sidebar.text_input[0].set_value("<b>two words</b>")
    found = shown(run(page))
    assert found.tags <= TAGS
    assert any("'<b>two words</b>' can't be forbidden" in text for text in found.texts["bdi"])
    assert len(page.file_uploader) == 1, "what was dropped is still there"


@pytest.fixture
def job(tmp_path, picture) -> CaptionJob:
    """A run whose images are there, with two that failed."""
    made = CaptionJob(tmp_path)
    grow(made, picture)
    return made


def test_a_run_is_leafed_through_and_an_image_looked_at(opened, job) -> None:
    page = in_view(opened(job.output), "Run")
    captions = job.results()
    found = shown(page)
    ids = [text for text in found.texts["bdi"] if text in captions]
    assert ids == sorted(captions)
    assert len(found.sources) == len(captions)
    page.button[2].click()
    found = shown(run(page))
    assert page.session_state["view"] == "Caption"
    assert f"{ids[2]}, 12 × 8 pixels" in found.texts["bdi"]
    assert f"In the run: {captions[ids[2]]}" in found.texts["bdi"]


def test_a_page_left_open_shows_the_next_run(opened, job, picture) -> None:
    page = in_view(opened(job.output), "Run")
    picture(job.input / "new.png")
    job.run()
    streamlit.cache_data.clear()  # as some seconds do
    assert "new.png" in shown(in_view(page, "Run")).texts["bdi"]


def test_images_that_the_run_captions_alike_are_shown_and_followed(opened, tmp_path) -> None:
    texts = {"dog.png": "a dog runs", "same.png": "a dog runs", "other.png": "two men"}
    write_captions(tmp_path, [record(*pair) for pair in texts.items()])
    page = in_view(opened(tmp_path), "Run")
    page.button[0].click()
    found = shown(run(page)).texts["bdi"]
    assert found[2] == "dog.png" and {"same.png", "100% alike"} <= {*found}
    assert "other.png" not in found
    page.button[0].click()
    found = shown(run(page)).texts["bdi"]
    assert found[2] == "same.png" and "dog.png" in found


def test_a_run_is_searched_and_filtered(opened, job) -> None:
    page = in_view(opened(job.output), "Run")
    page.text_input[0].set_value("B/")
    found = shown(in_view(page, "Run"))
    assert found.texts["bdi"][1::3] == ["b/0.png", "b/1.png", "b/2.png"]
    page.text_input[0].set_value("nothing like it")
    assert "Nothing is like that; ask for less." in shown(in_view(page, "Run")).texts["p"]
    page.text_input[0].set_value("")
    page.selectbox[0].set_value(1)
    found = shown(in_view(page, "Run"))
    assert found.texts["bdi"][::3] == ["empty", "empty"]
    assert set(found.texts["bdi"][2::3]) == {"a/2.png", "empty.png"}
    page.button[0].click()
    assert shown(run(page)).texts["b"] == ["empty"]


def test_a_page_of_a_run_has_so_many_images_and_no_more(opened, tmp_path) -> None:
    ids = [f"{number:03}.jpg" for number in range(60)]
    write_captions(tmp_path, [record(id, f"caption {id}") for id in ids])
    found = shown(in_view(opened(tmp_path), "Run"))
    assert [text for text in found.texts["bdi"] if text in ids] == ids[:24]
    assert "1 to 24 of 60" in found.texts["p"]


def test_an_image_that_is_gone_is_told_of_by_the_run(opened, tmp_path) -> None:
    found = CaptionRecord(
        "gone.jpg", "/nowhere/gone.jpg", "", 4, 3, "a dog", -1.0, (("a dog", -1.0), ("dog", -2.0)),
        "", "model", "",
    )  # fmt: skip
    write_captions(tmp_path, [found])
    page = in_view(opened(tmp_path), "Run")
    assert shown(page).shown.count("no picture") == 1
    page.button[0].click()
    found = shown(run(page))
    assert found.texts["b"] == ["missing"]
    assert {"a dog", "dog", "gone.jpg"} <= set(found.texts["bdi"])


def test_only_what_the_run_names_is_opened(opened, job, tmp_path) -> None:
    (tmp_path / "secret.png").write_bytes(of_colour())
    page = opened(job.output)
    for id in ("../secret.png", str(tmp_path / "secret.png"), "in/a/0.png"):
        page.session_state["followed"] = id
        found = shown(run(page))
        assert found.texts["b"] == ["not in the run"] and not found.sources


def test_a_frame_of_a_film_is_looked_at(opened, tmp_path) -> None:
    pytest.importorskip("av")
    from tests import films

    film = films.write(tmp_path / "film.mp4", [(films.RED, 2.0), (films.BLUE, 2.0)])
    id = "film.mp4#t=3.0"
    write_captions(tmp_path / "out", [record(id, "blue", uri=f"{film}#t=3.0")])
    page = in_view(opened(tmp_path / "out"), "Run")
    assert len(shown(page).sources) == 1
    page.button[0].click()
    found = shown(run(page))
    assert f"{id}, 64 × 48 pixels" in found.texts["bdi"] and found.sources


def test_a_pipe_in_a_run_holds_nobody_up(opened, tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    write_captions(tmp_path / "out", [record("pipe", "a pipe", uri=str(tmp_path / "pipe"))])
    page = in_view(opened(tmp_path / "out"), "Run")
    page.button[0].click()
    assert shown(run(page)).texts["b"] == ["missing"]


def write_hostile(output: Path) -> None:
    """A run whose every text is meant to be more than that."""
    texts = [text.replace("\ud800", "") for text in MARKED]
    write_captions(output, [record(f"{n}/{text}", text, text) for n, text in enumerate(texts)])


def test_texts_of_a_run_and_of_an_upload_are_never_markup(opened, tmp_path) -> None:
    write_hostile(tmp_path)
    page = in_view(opened(tmp_path), "Run")
    check_texts(page)
    page.button[1].click()
    check_texts(run(page))
    texts = [text for text in MARKED if "\ud800" not in text]
    dropped(page, *((text, of_colour()) for text in texts), *((text, b"no") for text in texts))
    check_texts(page)


def check_texts(page: testing.AppTest) -> None:
    """See that what is shown of others is in inert HTML, and in nothing else but the uploader."""
    found = shown(page)
    assert found.tags <= TAGS and found.attributes <= ATTRIBUTES | {"role", "loading"}
    read = [text.replace("\0", "\ufffd").replace("\r\n", "\n") for text in MARKED]
    assert any(text in read for text in found.texts["bdi"])
    for part in page.main:
        if getattr(part, "type", "") not in ("html", "file_uploader") and hasattr(part, "proto"):
            said = str(part.proto)
            assert "hacked" not in said and "LaTeX" not in said and "alert" not in said


@given(st.text(min_size=1), st.text())
def test_any_text_can_be_shown(id: str, caption: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        write_captions(Path(directory), [record(id, caption)])
        found = Run(directory)
        (entry,) = found.entries(found.find(Query()))
        assert (entry.id, entry.text) == (id, caption)
        assert found.record(id).caption == caption


TEXTS = st.text("aAbß .ﬀ", max_size=4)


@given(
    st.dictionaries(st.text("abcd/", min_size=1, max_size=4), st.tuples(TEXTS, st.floats(-9, 0))),
    TEXTS,
    st.tuples(st.integers(0, 100), st.integers(0, 100)),
)
def test_what_is_found_is_what_is_like_it(outcomes, text, sure) -> None:
    with tempfile.TemporaryDirectory() as directory:
        first = {"always/there.jpg": ("a b", -1.0)}
        outcomes = {**outcomes, **first}
        records = [record(id, said, sure=number) for id, (said, number) in outcomes.items()]
        write_captions(Path(directory), records)
        run = Run(directory)
        everything = run.entries(run.find(Query()))
        assert [entry.id for entry in everything] == sorted(outcomes)
        low, high = sorted(share / 100 for share in sure)
        found = run.entries(run.find(Query(text, "", (low, high))))
        assert found == [
            entry
            for entry in everything
            if text.lower() in entry.id.lower() + "\0" + entry.text.lower()
            and np.float32(low) <= np.float32(entry.sure) <= np.float32(high)
        ]


def test_uploads_are_in_memory_whatever_their_size(opened) -> None:
    from starlette.formparsers import MultiPartParser

    opened()
    assert MultiPartParser.spool_max_size > LIMITS.bytes


def test_streamlit_is_told_what_is_safe(models) -> None:
    command = app.command([models["merge"]], None, "127.0.0.1", free())
    flags, own = command[: command.index("--")], command[command.index("--") + 1 :]
    assert "--browser.gatherUsageStats=false" in flags
    assert "--server.address=127.0.0.1" in flags
    (size,) = (int(flag.partition("=")[2]) for flag in flags if "maxUploadSize" in flag)
    assert size * 1_000_000 > LIMITS.bytes >= (size - 1) * 1_000_000
    assert own == [f"--model={models['merge']}"]


def free() -> int:
    """A port that nothing listens at."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def test_mistakes_are_said_before_anything_is_served(models, tmp_path, capsys) -> None:
    def said(*arguments: str) -> str:
        assert cli.main(["app", "--port", str(free()), *arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    assert "no model here" in said("--model", str(tmp_path))
    assert "no captions here" in said("--model", models["merge"], "--captions", str(tmp_path))
    assert "65535" in said("--model", models["merge"], "--port", "65536")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "choose another --port" in said("--model", models["merge"], "--port", port)


def test_without_streamlit_its_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "streamlit", None)
    with pytest.raises(UserError, match=r"pip install 'captioner\[app\]'"):
        app.command(["model"], None, "127.0.0.1", free())


@pytest.mark.slow
def test_a_million_captions_make_a_light_page(opened, tmp_path) -> None:
    write_captions(tmp_path, [record(f"{n:07}<b>.jpg", f"<i>{n % 5000}") for n in range(1_000_000)])
    page = in_view(opened(tmp_path), "Run")
    assert "1 to 24 of 1,000,000" in shown(page).texts["p"]
    assert sum(len(part.proto.body) for part in page.get("html")) < 50_000
    page.text_input[0].set_value("0999999<B>")
    found = shown(in_view(page, "Run"))
    assert found.tags <= TAGS and "0999999<b>.jpg" in found.texts["bdi"]
    page.button[0].click()
    assert "<i>4999" in shown(run(page)).texts["bdi"]
