"""`captioner similar` and `neighbours`: the images that are like an image, or like a text."""

from __future__ import annotations

import collections
import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage

from captioner import captions, cli, storage
from captioner.corpora import words
from captioner.similarity import Similar, dense
from captioner.similarity.dense import DenseVectors
from captioner.similarity.words import WordVectors
from tests.outputs import CaptionJob, FeatureJob, grow, record, write_captions
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
    records = [record(*pair, uri=str(tmp_path / pair[0])) for pair in CAPTIONS.items()]
    write_captions(tmp_path / "out", records)
    return tmp_path / "out"


def found(output: Path, capsys, *flags: object) -> dict[str, float]:
    """What the command finds, with similarities, in its order."""
    assert cli.main(["similar", str(output), *map(str, flags), "--json", "-"]) == 0
    neighbours = json.loads(capsys.readouterr().out)["neighbours"]
    return {one["id"]: one["similarity"] for one in neighbours}


def test_an_image_has_those_with_the_same_caption_first(output, capsys) -> None:
    alike = found(output, capsys, "--id", "dog.jpg", "--min-similarity", 0.5)
    assert [*alike] == ["same.jpg", "alike.jpg"], "not itself, and not what is unlike it"
    assert alike["same.jpg"] == pytest.approx(1) and 0.5 < alike["alike.jpg"] < 0.95
    assert [*found(output, capsys, "--id", "dog.jpg", "--min-similarity", 0.95)] == ["same.jpg"]
    assert Similar.of(str(output)).image("\udcff") is None


def test_as_many_as_are_asked_for(output, capsys) -> None:
    text = ["--text", "A dog, in snow.", "--min-similarity", 0.1]
    assert len(found(output, capsys, *text)) == 3
    assert [*found(output, capsys, *text, "--top", 1)] == ["dog.jpg"]
    assert not found(output, capsys, "--text", "zebra", "--min-similarity", 0.01)
    assert not found(output, capsys, "--text", "a dog runs through the snow with a zebra")


def test_an_image_of_the_run_is_known_by_where_it_is(output, tmp_path, picture, capsys) -> None:
    picture(tmp_path / "dog.jpg")
    assert [*found(output, capsys, "--image", tmp_path / "dog.jpg")] == ["same.jpg"]


def test_another_image_is_captioned(output, tmp_path, picture, capsys) -> None:
    model = create(tmp_path, "attention", encoder=grid_encoder())
    picture(tmp_path / "new.png")
    flags = ["--image", str(tmp_path / "new.png"), "--model", str(model), "--json", "-"]
    assert cli.main(["similar", str(output), *flags]) == 0
    asked = json.loads(capsys.readouterr().out)["like"]
    assert cli.main(["caption", str(tmp_path / "new.png"), "--model", str(model)]) == 0
    assert asked in capsys.readouterr().out


def test_people_are_told_in_lines(output, capsys) -> None:
    assert cli.main(["similar", str(output), "--id", "dog.jpg"]) == 0
    said = ["like: a dog runs through the snow", "1.00  same.jpg  a dog runs through the snow"]
    assert capsys.readouterr().out.splitlines() == said
    assert cli.main(["similar", str(output), "--text", "\x1b[31mzebra می\u200cدود"]) == 0
    said = ["like: \\x1b[31mzebra می\u200cدود", "none; a lower --min-similarity may find some"]
    assert capsys.readouterr().out.splitlines() == said
    assert cli.main(["similar", str(output), "--text", "zebra", "--min-similarity", "0"]) == 0
    assert "none: they have no word in common" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "mistake"),
    [
        (["--id", "nobody.jpg"], "nobody.jpg: no image of this id"),
        (["--image", "new.jpg"], "new.jpg: no such image"),
        (["--text", "dog", "--model", "model"], "--model goes with --image"),
        (["--text", "dog", "--by", "features"], "captions, which can't be compared by features"),
        (["--text", "dog", "--by", "nlp:x"], "say spacy:NAME or sentence-transformers:NAME"),
    ],
)
def test_mistakes_are_said_in_a_line(output, capsys, flags, mistake) -> None:
    assert cli.main(["similar", str(output), *flags]) == 2
    assert mistake in capsys.readouterr().err


def test_an_image_that_nobody_captions_is_a_mistake(output, tmp_path, picture, capsys) -> None:
    picture(tmp_path / "new.png")
    assert cli.main(["similar", str(output), "--image", str(tmp_path / "new.png")]) == 2
    assert "not in the run; give --model" in capsys.readouterr().err


# The index


def compare(output: Path) -> None:
    """See that what is kept finds what an index of the output as it is now finds."""
    kept = Similar.of(str(output))
    shutil.rmtree(output / "similar")
    new = Similar.of(str(output))
    assert len(kept) == len(new)
    for one in captions.read(str(output)):
        assert kept.image(one.id).caption == new.image(one.id).caption == one.caption
        near, other = (similar.like_image(one.id, 99, 0.2) for similar in (kept, new))
        assert dict(near) == pytest.approx(dict(other), abs=1e-5)


def test_an_index_grows_with_its_output(tmp_path, picture) -> None:
    job = CaptionJob(tmp_path)
    for name in ("a.png", "b.png", "c.png"):
        picture(job.input / name)
    job.run()
    Similar.of(str(job.output))
    before = (job.output / "similar/words.zip").read_bytes()
    Similar.of(str(job.output))
    assert (job.output / "similar/words.zip").read_bytes() == before
    grow(job, picture)
    Similar.of(str(job.output))
    assert (job.output / "similar/words.zip").read_bytes() != before
    compare(job.output)
    assert Similar.of(str(job.output)).image("empty.png") is None


def test_captions_that_were_superseded_are_not_found(tmp_path) -> None:
    write_captions(tmp_path, [record("a.png", "a dog"), record("b.png", "two men")])
    assert Similar.of(str(tmp_path)).image("a.png").caption == "a dog"
    write_captions(tmp_path, [record("a.png", "two men")], task="images-1")
    similar = Similar.of(str(tmp_path))
    assert similar.image("a.png").caption == "two men" and len(similar) == 2
    assert not similar.like("a dog", 9, 0.1)
    assert [one.image.id for one in similar.like_image("b.png", 9, 0.9)] == ["a.png"]


def test_what_is_no_index_of_the_output_is_made_anew(output) -> None:
    Similar.of(str(output))
    file = output / "similar/words.zip"
    whole = file.read_bytes()
    for broken in (b"", b"PK", whole[:-30], whole.replace(b'"format": 1', b'"format": 9')):
        file.write_bytes(broken)
        compare(output)


def test_a_shard_that_is_gone_is_forgotten(tmp_path) -> None:
    write_captions(tmp_path, [record("a.png", "a dog"), record("b.png", "two men")])
    write_captions(tmp_path, [record("a.png", "a cat")], task="images-1")
    assert Similar.of(str(tmp_path)).image("a.png").caption == "a cat"
    (tmp_path / "shards/images-1.jsonl").unlink()
    assert Similar.of(str(tmp_path)).image("a.png").caption == "a dog"
    compare(tmp_path)


def test_where_nothing_can_be_kept_it_is_said(output, capsys) -> None:
    (output / "similar").touch()
    assert cli.main(["similar", str(output), "--id", "dog.jpg"]) == 0
    said = capsys.readouterr().out
    assert "made anew each time" in said and "same.jpg" in said
    assert cli.main(["neighbours", str(output), "--output", str(output / "alike")]) == 2
    assert "can't be kept" in capsys.readouterr().err


def test_an_index_in_a_bucket(output, s3_bucket) -> None:
    for file in output.rglob("*"):
        if file.is_file():
            place = storage.join(s3_bucket, "out", str(file.relative_to(output)))
            storage.create(place, file.read_bytes())
    there = f"{s3_bucket}/out"
    assert len(Similar.of(there)) == len(Similar.of(there)) == 4
    assert storage.exists(f"{there}/similar/words.zip")


@pytest.mark.parametrize("made", ["captions", "features"])
def test_an_output_with_failures_only_has_nothing_alike(tmp_path, capsys, made) -> None:
    job = {"captions": CaptionJob, "features": FeatureJob}[made](tmp_path)
    job.input.mkdir(parents=True, exist_ok=True)
    (job.input / "a.png").touch()
    job.run()
    assert cli.main(["similar", str(job.output), "--id", "a.png"]) == 2
    assert "no image of this id" in capsys.readouterr().err
    to = tmp_path / "neighbours"
    assert cli.main(["neighbours", str(job.output), "--output", str(to), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == {"seen": 0, "with_neighbours": 0}


def test_features_that_a_failure_stands_before_are_not_found(tmp_path, picture) -> None:
    job = FeatureJob(tmp_path)
    for name in "abc":
        picture(job.input / f"{name}.png")
    job.run()
    assert Similar.of(str(job.output)).image("a.png")
    (job.input / "a.png").write_bytes(b"")
    job.run()
    similar = Similar.of(str(job.output))
    assert similar.image("a.png") is None and len(similar) == 2
    found = similar.like_image("b.png", 10**12, 0)
    assert [one.image.id for one in found] == ["c.png"]


# Words

SENTENCES = st.lists(st.sampled_from("dog cat snow runs sleeps red 7".split()), max_size=5)


TEXTS = st.sets(SENTENCES.map(" ".join), max_size=12).map(sorted)


@given(TEXTS, SENTENCES.map(" ".join), st.floats(0.1, 1))
def test_similarity_is_the_cosine_of_all_texts_vectors(texts, query, least) -> None:
    vectors = WordVectors()
    vectors.extend(texts, len(texts))
    vectors = WordVectors.from_parts(vectors.parts())
    held = np.arange(len(texts))[:: 2 if query else 1]
    vectors.hold(held)
    (near,) = vectors.near(vectors.of([query]), len(texts), least)
    assert [*near] == sorted(near, key=lambda one: (-one.cosine, one.item))
    cosines = dict(near)
    among = [texts[item] for item in held]
    for item in held:
        cosine = _cosine(query, texts[item], among)
        if cosine > least + 1e-3:
            assert cosines[item] == pytest.approx(cosine, abs=1e-4)
        elif cosine < least - 1e-3:
            assert item not in cosines
    for item, own in zip(held, vectors.near(vectors.of_items(held), 1, 0), strict=True):
        assert [one.cosine for one in own] == ([pytest.approx(1)] if words(texts[item]) else [])


def _cosine(one: str, other: str, texts: list[str]) -> float:
    documents = [{*words(text)} for text in texts]
    vectors = []
    for text in (one, other):
        counts = collections.Counter(words(text))
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


# Features


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """Features of pictures of noise, of which one is there in another size too."""
    drawn = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for number in range(8):
        pixels = drawn.integers(0, 255, (4, 4, 3), np.uint8)
        picture = PillowImage.fromarray(pixels).resize((64, 64), PillowImage.Resampling.NEAREST)
        picture.save(tmp_path / f"in/{number}.png")
    picture.resize((48, 48)).save(tmp_path / "in/again.jpg")
    picture.resize((50, 40)).save(tmp_path / "new.jpg")
    command = ["extract", "--input", str(tmp_path / "in"), "--output", str(tmp_path / "features")]
    command += ["--encoder", "mobilenetv2", "--encoder-weights", "none", "--image-size", "32"]
    assert cli.main([*command, "--encoder-layer", "Conv1_relu", "--features", "grid"]) == 0
    return tmp_path / "features"


def test_images_that_look_alike_are_found(features, tmp_path, capsys) -> None:
    capsys.readouterr()
    for query in (["--id", "7.png"], ["--image", str(tmp_path / "new.jpg")]):
        near = found(features, capsys, *query, "--top", 3, "--min-similarity", 0)
        first, second, *_ = near
        assert {first, second} >= {"again.jpg"} and len(near) == 3
        assert max(near.values()) > 0.99
    assert cli.main(["similar", str(features), "--text", "a dog"]) == 2
    assert "features know no words" in capsys.readouterr().err


def test_many_vectors_are_found_among_those_of_their_kind(monkeypatch) -> None:
    monkeypatch.setattr(dense, "_FEW", 1000)
    drawn = np.random.default_rng(0)
    kinds = drawn.normal(size=(40, 300)).astype(np.float32)
    vectors = kinds[np.arange(4000) % 40] + 0.02 * drawn.normal(size=(4000, 300))
    vectors = vectors.astype(np.float32)
    index = DenseVectors(np.stack)
    for first in range(0, 4000, 1000):
        index.extend([*vectors[first : first + 1000]], 4000)
    index = DenseVectors.from_parts(index.parts(), np.stack)
    held = np.arange(1, 4000, 2)
    index.hold(held)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    items = np.arange(1, 4000, 400)
    near = index.near(index.of_items(items), 10, 0.5)
    for item, found in zip(items, near, strict=True):
        assert len(found) == 10
        for one in found:
            assert one.item % 40 == item % 40 and one.item % 2
            assert one.cosine == pytest.approx(min(1, units[item] @ units[one.item]), abs=0.02)
    assert not index.is_outgrown()
    index.extend([*vectors] * 8, 0)
    assert index.is_outgrown()


# Neighbours of all


def lines(directory: Path) -> dict[str, list[str]]:
    """The neighbours of each image in the job's files."""
    files = sorted((directory / "neighbours").iterdir())
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: [one["id"] for one in row["neighbours"]] for row in rows}


def test_the_job_finds_what_is_found_one_by_one(output, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("pipelines.find_neighbours._SOME", 2)
    command = ["neighbours", str(output), "--min-similarity", "0.5", "--output"]
    assert cli.main([*command, str(tmp_path / "alike"), "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["images"] == {"seen": 4, "with_neighbours": 3}
    similar = Similar.of(str(output))
    expected = {id: [one.image.id for one in similar.like_image(id, 10, 0.5)] for id in CAPTIONS}
    assert lines(tmp_path / "alike") == {id: near for id, near in expected.items() if near}
    assert cli.main([*command, str(tmp_path / "alike")]) == 2
    assert "choose another --output" in capsys.readouterr().err
    (tmp_path / "other/neighbours").mkdir(parents=True)
    (tmp_path / "other/neighbours/000099.jsonl").write_text("left by a job that was killed")
    (tmp_path / "other/neighbours/mine.txt").touch()
    nowhere = ["neighbours", str(tmp_path / "nowhere"), "--output", str(tmp_path / "other")]
    assert cli.main(nowhere) == 2
    assert (tmp_path / "other/neighbours/000099.jsonl").exists()
    assert cli.main([*command, str(tmp_path / "other"), "--top", "1"]) == 0
    assert (tmp_path / "other/neighbours/mine.txt").exists()
    (tmp_path / "other/neighbours/mine.txt").unlink()
    assert {id: near[:1] for id, near in expected.items() if near} == lines(tmp_path / "other")


def test_images_that_share_a_caption_are_shared_out_too(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("pipelines.find_neighbours._SOME", 3)
    texts = ["a dog in snow"] * 7 + ["a dog in the snow"] * 4 + ["two men"]
    write_captions(tmp_path / "out", [record(f"{n:02}.png", one) for n, one in enumerate(texts)])
    command = ["neighbours", str(tmp_path / "out"), "--min-similarity", "0.5", "--top", "8"]
    assert cli.main([*command, "--output", str(tmp_path / "alike")]) == 0
    files = sorted((tmp_path / "alike/neighbours").iterdir())
    assert [len(file.read_text().splitlines()) for file in files] == [3, 3, 3, 2]
    similar = Similar.of(str(tmp_path / "out"))
    for id, near in lines(tmp_path / "alike").items():
        assert near == [one.image.id for one in similar.like_image(id, 8, 0.5)] and len(near) == 8


def test_near_duplicates_by_features(features, tmp_path) -> None:
    to = tmp_path / "duplicates"
    assert (
        cli.main(["neighbours", str(features), "--output", str(to), "--min-similarity", "0.99"])
        == 0
    )
    assert lines(to) == {"7.png": ["again.jpg"], "again.jpg": ["7.png"]}


# Models of texts


def test_captions_are_compared_by_a_model_that_is_installed(output, tmp_path, capsys) -> None:
    spacy = pytest.importorskip("spacy")
    language = spacy.blank("en")
    for word, vector in {"dog": [1, 0], "puppy": [0.9, 0.1], "men": [0, 1]}.items():
        language.vocab.set_vector(word, np.array(vector, np.float32))
    language.to_disk(tmp_path / "model")
    flags = ["--text", "a puppy", "--by", f"spacy:{tmp_path / 'model'}"]
    near = found(output, capsys, *flags)
    assert {*near} == {"dog.jpg", "same.jpg", "alike.jpg"}
    assert found(output, capsys, *flags) == near, "from what was kept"


def test_a_model_that_is_not_installed_is_named(output, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    assert cli.main(["similar", str(output), "--text", "a dog", "--by", "spacy:en"]) == 2
    assert "pip install spacy" in capsys.readouterr().err
