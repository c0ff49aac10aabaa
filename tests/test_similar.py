"""`captioner similar`: the images whose captions are like an image's, or like a text."""

from __future__ import annotations

import collections
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioner import cli
from captioner.corpora import words
from captioner.similarity import Captioned, SimilarCaptions
from tests.outputs import CaptionJob, grow, record, write_captions
from tests.untrained import create, grid_encoder

CAPTIONS = {
    "dog.jpg": "a dog runs through the snow",
    "same.jpg": "a dog runs through the snow",
    "alike.jpg": "a dog runs through the deep snow",
    "other.jpg": "two men ride bicycles",
}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A run."""
    write_captions(tmp_path / "out", [record(*pair) for pair in CAPTIONS.items()])
    return tmp_path / "out"


def found(output: Path, capsys, *flags: object) -> dict[str, float]:
    """What the command finds, with similarities, in its order."""
    assert cli.main(["similar", str(output), *map(str, flags), "--json", "-"]) == 0
    neighbours = json.loads(capsys.readouterr().out)["neighbours"]
    assert all(CAPTIONS[one["id"]] == one["caption"] for one in neighbours)
    return {one["id"]: one["similarity"] for one in neighbours}


def test_an_image_has_those_with_the_same_caption_first(output, capsys) -> None:
    alike = found(output, capsys, "--id", "dog.jpg", "--min-similarity", 0.5)
    assert [*alike] == ["same.jpg", "alike.jpg"], "not itself, and not what is unlike it"
    assert alike["same.jpg"] == pytest.approx(1) and 0.5 < alike["alike.jpg"] < 0.95
    assert [*found(output, capsys, "--id", "dog.jpg", "--min-similarity", 0.95)] == ["same.jpg"]


def test_as_many_as_are_asked_for(output, capsys) -> None:
    text = ["--text", "A dog, in snow.", "--min-similarity", 0.1]
    assert len(found(output, capsys, *text)) == 3
    assert [*found(output, capsys, *text, "--top", 1)] == ["dog.jpg"]
    assert not found(output, capsys, "--text", "zebra", "--min-similarity", 0.01)


def test_an_image_that_is_not_in_the_run_is_captioned(output, tmp_path, picture, capsys) -> None:
    model = create(tmp_path, "attention", encoder=grid_encoder())
    picture(tmp_path / "new.png")
    flags = ["--image", str(tmp_path / "new.png"), "--model", str(model), "--json", "-"]
    assert cli.main(["similar", str(output), *flags]) == 0
    asked = json.loads(capsys.readouterr().out)["text"]
    assert cli.main(["caption", str(tmp_path / "new.png"), "--model", str(model)]) == 0
    assert asked in capsys.readouterr().out


def test_people_are_told_in_lines(output, capsys) -> None:
    assert cli.main(["similar", str(output), "--id", "dog.jpg"]) == 0
    said = ["like: a dog runs through the snow", "1.00  same.jpg  a dog runs through the snow"]
    assert capsys.readouterr().out.splitlines() == said
    assert cli.main(["similar", str(output), "--text", "\x1b[31mzebra"]) == 0
    said = ["like: \\x1b[31mzebra", "none; a lower --min-similarity may find some"]
    assert capsys.readouterr().out.splitlines() == said


def test_captions_that_were_superseded_are_not_found(tmp_path, picture) -> None:
    job = CaptionJob(tmp_path)
    grow(job, picture)
    captions = SimilarCaptions.of(str(job.output))
    for id, caption in job.results().items():
        assert captions.image(id).caption == caption
        assert id in {one.image.id for one in captions.like(caption, 99, 0.99)}
    assert captions.image("empty.png") is None


@pytest.mark.parametrize(
    ("flags", "mistake"),
    [
        (["--id", "nobody.jpg"], "nobody.jpg: no image of this id"),
        (["--image", "new.jpg"], "--model"),
        (["--image", "new.jpg", "--model", "model"], "new.jpg: no such image"),
        (["--text", "dog", "--model", "model"], "go together"),
    ],
)
def test_mistakes_are_said_in_a_line(output, capsys, flags, mistake) -> None:
    assert cli.main(["similar", str(output), *flags]) == 2
    assert mistake in capsys.readouterr().err


SENTENCES = st.lists(st.sampled_from("dog cat snow runs sleeps red 7".split()), max_size=5)


@given(st.lists(SENTENCES.map(" ".join), max_size=12), SENTENCES.map(" ".join))
def test_similarity_is_the_cosine_of_all_captions_vectors(texts: list[str], query: str) -> None:
    images = [Captioned(str(number), "", text) for number, text in enumerate(texts)]
    near = SimilarCaptions(images).like(query, len(images), 0.3)
    assert [one.similarity for one in near] == sorted(
        (one.similarity for one in near), reverse=True
    )
    similar = {int(one.image.id): one.similarity for one in near}
    for number, text in enumerate(texts):
        cosine = _cosine(query, text, {*texts})
        if cosine > 0.301:
            assert similar[number] == pytest.approx(cosine, abs=1e-4)
        elif cosine < 0.299:
            assert number not in similar


def _cosine(one: str, other: str, texts: set[str]) -> float:
    documents = [{*words(text)} for text in [*texts, "a caption"]]
    known = set().union(*documents)
    vectors = []
    for text in (one, other):
        counts = collections.Counter(word for word in words(text) if word in known)
        vectors.append(
            {
                word: count
                * (1 + math.log((1 + len(documents)) / (1 + sum(word in one for one in documents))))
                for word, count in counts.items()
            }
        )
    norms = math.prod(math.hypot(*vector.values()) for vector in vectors)
    product = sum(value * vectors[1].get(word, 0) for word, value in vectors[0].items())
    return product / norms if norms else 0.0
