"""`captioner app` as a browser has it: it is used as people do, and nothing hostile is run."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import free_port, wait_for
from tests.outputs import record, write_captions
from tests.pages import MARKED
from tests.untrained import create, grid_encoder

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("streamlit")

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium")
IMAGES = 60
HOSTILE = [text for text in MARKED if "\ud800" not in text]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of pictures whose every name and caption is meant to be more than that."""
    directory = tmp_path_factory.mktemp("run")
    records = []
    for number in range(IMAGES):
        picture = directory / f"{number}.png"
        Image.new("RGB", (64, 48), (4 * number, 99, 200)).save(picture)
        text = f"{number:02} {HOSTILE[number % len(HOSTILE)]}"
        records.append(record(text, text, str(picture), sure=-number / 10))
    write_captions(directory / "out", records)
    return directory / "out"


@pytest.fixture(scope="module")
def url(tmp_path_factory, run) -> Iterator[str]:
    """The app, served."""
    directory = tmp_path_factory.mktemp("model")
    model = create(directory, "attention", encoder=grid_encoder())
    port = free_port()
    command = [sys.executable, "-m", "captioner", "app", "--model", model, "--captions", str(run)]
    with (directory / "log").open("w") as log:
        server = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log)
    try:
        wait_for(port, server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()
    assert "Traceback" not in (directory / "log").read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    """Chromium, without a window."""
    if not CHROMIUM:
        pytest.skip("needs chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, url) -> Iterator[playwright.Page]:
    """The app's page, which asks nobody else for anything, runs nothing and has no errors."""
    page = browser.new_page()
    page.set_default_timeout(60_000)
    errors: list[str] = []
    asked: list[str] = []
    page.on("console", lambda said: said.type == "error" and errors.append(said.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    page.get_by_role("tab", name="Run").wait_for()
    yield page
    # Streamlit's server has a traceback in its log where a page goes while it is sent to.
    page.locator("[data-test-script-state=notRunning]").wait_for()
    assert errors == []
    assert page.evaluate("window.hacked") is None
    assert all(one.startswith((url, url.replace("http", "ws"), "data:", "blob:")) for one in asked)
    page.close()


def expect(page: playwright.Page, selector: str, **filters: str) -> playwright.Locator:
    """The first element there is, once it is there."""
    found = page.locator(selector, **filters).first
    found.wait_for()
    return found


def test_an_image_is_dropped_and_its_caption_read(page) -> None:
    file = {"name": "<b>mine</b>.png", "mimeType": "image/png", "buffer": picture()}
    page.set_input_files("input[type=file]", [file])
    assert expect(page, ".caption").inner_text()
    assert expect(page, ".note", has_text="mine").inner_text() == "<b>mine</b>.png, 64 × 48 pixels"
    assert expect(page, ".words img").evaluate("image => image.naturalWidth") > 0
    assert page.locator("table tr").count() == 6, "five candidates and the heading"
    text = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"not an image"}
    page.set_input_files("input[type=file]", [text])
    expect(page, ".card", has_text="not_an_image")


def picture() -> bytes:
    """A picture's file."""
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(file, "PNG")
    return file.getvalue()


def test_a_run_is_leafed_through_searched_and_followed(page) -> None:
    page.get_by_role("tab", name="Run").click()
    expect(page, ".note", has_text=f"1 to 24 of {IMAGES}")
    page.get_by_role("button", name="Page 3").click()
    expect(page, ".note", has_text=f"49 to {IMAGES} of {IMAGES}")
    page.get_by_role("textbox", name="Search").fill("17 ")
    page.keyboard.press("Enter")
    expect(page, ".note", has_text="1 to 1 of 1")
    expect(page, ".card", has_text="17 ")
    page.get_by_role("button", name="Look closer").first.click()
    expect(page, ".note", has_text="In the run: 17")
    assert expect(page, ".looked img").evaluate("image => image.naturalWidth") > 0
    page.get_by_role("tab", name="Run").click()
    expect(page, ".note", has_text="1 to 1 of 1")


def test_an_image_that_is_alike_is_followed(page) -> None:
    page.get_by_role("tab", name="Run").click()
    page.get_by_role("button", name="Look closer").nth(2).click()
    expect(page, ".note", has_text="In the run: 02 ")
    alike = expect(page, ".card", has_text="% alike")
    number = alike.locator("bdi").first.inner_text()[:2]
    assert number != "02"
    page.get_by_role("button", name="Look closer").first.click()
    expect(page, ".note", has_text=f"In the run: {number} ")
    assert expect(page, ".looked img").evaluate("image => image.naturalWidth") > 0


def test_nothing_hostile_is_more_than_text(page) -> None:
    page.get_by_role("tab", name="Run").click()
    for number, text in enumerate(HOSTILE):
        shown = expect(page, ".card bdi", has_text=f"{number:02} ")
        assert shown.evaluate("element => element.children.length") == 0
        read = shown.evaluate("element => element.textContent")
        assert read == f"{number:02} " + text.replace("\0", "").replace("\r\n", "\n")
    others = page.locator(".card :is(a, script, style, img:not([src^='data:image/jpeg']))")
    assert others.count() == 0
