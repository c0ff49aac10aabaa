"""One model for several languages, from a collection that says which is which."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner import captions, cli
from captioner.decoders.base import WordDropout
from captioner.model import Captioner
from captioner.vocabulary import UNKNOWN

COLOURS = {"red": (230, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 230), "white": (250,) * 3}
TOLD = {
    "en": {colour: f"a {colour} picture" for colour in COLOURS},
    "de": {
        "red": "ein rotes Bild",
        "green": "ein grünes Bild",
        "blue": "ein blaues Bild",
        "white": "ein weißes Bild",
    },
    "zh": {
        "red": "一张红色的图",
        "green": "一张绿色的图",
        "blue": "一张蓝色的图",
        "white": "一张白色的图",
    },
}


def run(*arguments: object) -> None:
    """Run the command, which must succeed."""
    assert cli.main([str(argument) for argument in arguments]) == 0


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of one colour, captions in three languages (most in English), and a model."""
    root = tmp_path_factory.mktemp("languages")
    (root / "images").mkdir()
    generator = np.random.default_rng(0)
    lines = []
    for number in range(64):
        colour = list(COLOURS)[number % len(COLOURS)]
        noise = generator.normal(0, 10, (32, 32, 3))
        pixels = np.clip(COLOURS[colour] + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"images/{colour}-{number}.png")
        known = {"image": f"{colour}-{number}.png", "split": "dev" if number >= 56 else "train"}
        lines += [known | {"caption": TOLD[tag][colour], "language": tag} for tag in TOLD]
        lines.append(known | {"caption": f"There is {colour}.", "language": "en"})
    (root / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    run(
        *("extract", "--input", root / "images", "--output", root / "features"),
        *("--captions", root / "captions.jsonl", "--encoder", "mobilenetv2"),
        *("--encoder-weights", "none", "--encoder-layer", "Conv1_relu", "--image-size", 32),
    )
    run(
        *("train", "--features", root / "features", "--output", root / "model"),
        *("--decoder", "merge", "--epochs", 16, "--batch-size", 8, "--learning-rate", 0.02),
        *("--units", 32, "--min-count", 1, "--word-dropout", 0.1),
    )
    return root


def caption(root: Path, output: Path, *flags: object) -> dict[str, captions.CaptionRecord]:
    run(
        *("caption", "--input", root / "features", "--model", root / "model"),
        *("--output", output, *flags),
    )
    return {record.id: record for record in captions.read(str(output))}


def test_the_model_knows_the_languages_of_its_captions(work: Path) -> None:
    vocabulary = Captioner.load(str(work / "model"), encoder=False).vocabulary
    assert vocabulary.languages == ("en", "de", "zh")


def test_the_best_epoch_is_that_of_all_languages_and_among_equals_of_the_lowest_loss(
    work: Path,
) -> None:
    training = json.loads((work / "model/model.json").read_text())["training"]
    history = json.loads((work / "model/history.json").read_text())
    # In English, with two captions a picture, 5 is reached, in German, with three words, 7.5.
    highest = max(entry["cider_d"] for entry in history)
    assert highest == pytest.approx((5 + 7.5 + 10) / 3)
    equal = [entry for entry in history if entry["cider_d"] == highest]
    assert len(equal) > 1
    assert training["best_epoch"] == min(equal, key=lambda entry: entry["development_loss"])


@pytest.mark.parametrize("language", ["de", "zh"])
def test_captions_are_in_the_language_asked_for(work: Path, tmp_path: Path, language: str) -> None:
    found = caption(work, tmp_path, "--language", language)
    assert len(found) == 64
    for id, record in found.items():
        assert record.language == language
        assert record.caption == TOLD[language][id.partition("-")[0]].lower()


def test_by_default_they_are_in_the_most_frequent_which_is_said(
    work: Path, tmp_path: Path, capsys
) -> None:
    found = caption(work, tmp_path)
    assert {record.language for record in found.values()} == {"en"}
    for id, record in found.items():
        colour = id.partition("-")[0]
        assert record.caption in (f"a {colour} picture", f"there is {colour}")
    assert "captions in en; with --language in de, zh" in capsys.readouterr().out


def test_captions_in_another_language_take_the_place_of_those_there_were(
    work: Path, tmp_path: Path
) -> None:
    caption(work, tmp_path, "--language", "de")
    found = caption(work, tmp_path, "--language", "zh")
    assert {record.language for record in found.values()} == {"zh"}


def test_a_picture_now_in_a_language(work: Path, capsys) -> None:
    picture = work / "images/red-0.png"
    run("caption", picture, "--model", work / "model", "--language", "DE")
    said = capsys.readouterr()
    assert said.out.strip() == "ein rotes bild"
    assert said.err == ""


def test_a_language_that_the_model_does_not_know(work: Path, capsys) -> None:
    picture = work / "images/red-0.png"
    arguments = ["caption", str(picture), "--model", str(work / "model"), "--language", "fr"]
    assert cli.main(arguments) == 2
    assert "the model knows no language 'fr': en, de, zh" in capsys.readouterr().err


def test_captions_in_another_language_make_images_new(work: Path, tmp_path: Path, capsys) -> None:
    lines = (work / "captions.jsonl").read_text().replace('"zh"', '"zh-Hant"', 1)
    (tmp_path / "captions.jsonl").write_text(lines)
    run(
        *("extract", "--input", work / "images", "--output", work / "features", "--dry-run"),
        *("--captions", tmp_path / "captions.jsonl", "--encoder", "mobilenetv2"),
        *("--encoder-weights", "none", "--encoder-layer", "Conv1_relu", "--image-size", 32),
    )
    assert "1 image to do; 63 done before" in capsys.readouterr().out


def test_what_a_caption_begins_with_is_never_hidden() -> None:
    tokens = np.array([[[5, 6, 7, 2, 0]]], np.int32)
    hidden = np.asarray(WordDropout(1.0)(tokens, training=True))
    assert hidden.tolist() == [[[5, UNKNOWN, UNKNOWN, 2, 0]]]
