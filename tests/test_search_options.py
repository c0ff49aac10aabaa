"""What a captioner makes of its search's options, and several models of one image."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from keras import ops
from PIL import Image

from captioner import captions, cli, decoders
from captioner.errors import UserError
from captioner.model import Captioner
from captioner.search import SearchOptions
from captioner.vocabulary import START, UNKNOWN
from tests import toy_features
from tests.untrained import WORDS, create, grid_encoder

SCHEMA = json.loads(resources.files("captioner").joinpath("captions.schema.json").read_text())
FEATURES = np.stack(
    [toy_features.features(*pair) for pair in itertools.product(range(4), range(3))]
)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    """One of each kind."""
    directory = tmp_path_factory.mktemp("models")
    return {name: create(directory, name) for name in decoders.DECODERS}


@pytest.fixture(scope="module")
def grid_models(tmp_path_factory) -> dict[str, str]:
    """One of each kind, of a grid of places."""
    directory = tmp_path_factory.mktemp("models")
    return {name: create(directory, name, encoder=grid_encoder()) for name in decoders.DECODERS}


@pytest.fixture
def images(tmp_path) -> list[str]:
    """Two that can be read, one that is not there, and one that is no image."""
    files = [tmp_path / name for name in ("one.png", "nil.png", "two.png", "text.png")]
    for file in files[::2]:
        Image.new("RGB", (9, 9), "red").save(file)
    files[3].write_text("no image")
    return [str(file) for file in files]


def load(*models: str, batch_size: int = 4, encoder: bool = False, **options) -> Captioner:
    search = SearchOptions(**{"max_length": 8} | options)
    return Captioner.load(*models, search=search, encoder=encoder, batch_size=batch_size)


def words_of(found) -> list[list[str]]:
    return [text.split() for caption in found for text, _ in caption.candidates]


def test_models_that_agree_say_what_each_of_them_says(models):
    model = models["transformer"]
    alone = load(model).caption_features(FEATURES[:4])
    thrice = load(model, model, model).caption_features(FEATURES[:4])
    for mine, its in zip(thrice, alone, strict=True):
        assert mine.text == its.text
        assert mine.log_probability == pytest.approx(its.log_probability, abs=1e-4)


def test_models_of_all_kinds_caption_together(models):
    together = load(*models.values()).caption_features(FEATURES)
    apart = [load(model).caption_features(FEATURES) for model in models.values()]
    assert len(together) == len(FEATURES)
    assert all(len(caption.candidates) == 5 for caption in together)
    assert all(together != its for its in apart)


def test_only_models_with_the_same_words_and_features_caption_together(models, tmp_path):
    other_words = create(tmp_path, "merge", WORDS[::-1])
    with pytest.raises(UserError, match="attention and .*merge: .* different words"):
        load(models["attention"], other_words)
    other_encoder = create(tmp_path, "transformer", encoder=grid_encoder())
    with pytest.raises(UserError, match="attention and .*transformer: .* different encoders"):
        load(models["attention"], models["merge"], other_encoder)


def test_an_ensemble_is_not_saved_as_a_model(models, tmp_path):
    with pytest.raises(ValueError, match="ensemble"):
        load(*models.values()).save(f"{tmp_path}/all")


def test_the_fingerprint_covers_each_model_whatever_their_order(models):
    first, second, third = models.values()
    orders = [(first,), (second,), (first, second), (second, first)]
    orders += [(first, second, third), (third, first, second)]
    found = {(frozenset(order), load(*order).fingerprint) for order in orders}
    assert len(found) == len({fingerprint for _, fingerprint in found}) == 4


def test_the_fingerprint_covers_each_option(grid_models):
    others = {
        "width": 6,
        "max_length": 9,
        "length_penalty": 1.0,
        "candidates": 2,
        "min_length": 1,
        "no_repeat_ngram": 3,
        "forbid": ("dog",),
        "language": "de",
        "temperature": 0.5,
        "sample": True,
        "seed": 1,
    }
    drawn = {"top_k": 3, "top_p": 0.5}
    named = {*others, *drawn, "attention"}
    assert named == {field.name for field in dataclasses.fields(SearchOptions)}
    options = [{}, {"attention": True}, *({name: value} for name, value in others.items())]
    options += [{"sample": True, name: value} for name, value in drawn.items()]
    found = {load(grid_models["attention"], **given).fingerprint for given in options}
    assert len(found) == len(options)


def test_as_many_candidates_are_kept_as_are_asked_for(models):
    whole = load(models["attention"]).caption_features(FEATURES)
    kept = load(models["attention"], candidates=2).caption_features(FEATURES)
    assert [caption.candidates for caption in kept] == [caption.candidates[:2] for caption in whole]


def test_forbidden_words_are_never_said(models):
    said = words_of(load(models["merge"]).caption_features(FEATURES))
    forbidden = tuple(sorted(set(itertools.chain(*said))))[:2]
    spelt = tuple(word.upper() for word in forbidden)
    found = load(models["merge"], forbid=(*spelt, "unheard")).caption_features(FEATURES)
    assert len(forbidden) == 2
    assert not any(set(words) & set(forbidden) for words in words_of(found))
    with pytest.raises(UserError, match="'red dog' can't be forbidden"):
        load(models["merge"], forbid=("red dog",))


@pytest.mark.parametrize("sample", [False, True])
def test_captions_are_as_long_and_as_varied_as_is_asked_for(models, sample):
    options = {"sample": sample, "min_length": 5, "no_repeat_ngram": 1}
    found = words_of(load(models["transformer"], **options).caption_features(FEATURES))
    assert all(5 <= len(words) == len(set(words)) for words in found)


def test_languages_are_never_said(models):
    captioner = load(models["merge"], sample=True, width=50, temperature=5.0)
    tokens, _ = captioner.search(FEATURES[:4].astype(np.float32), FEATURES[:4])
    languages = [captioner.vocabulary.start(tag) for tag in ("en", "de")]
    assert not np.isin(tokens, [START, UNKNOWN, *languages]).any()
    assert len(np.unique(tokens)) == len(WORDS) + 2  # with end and padding


def test_an_image_is_told_the_same_samples_in_any_batch(models):
    options = {"sample": True, "width": 3, "temperature": 2.0}
    expected = load(models["attention"], **options).caption_features(FEATURES)
    turned = load(models["attention"], batch_size=5, **options).caption_features(FEATURES[::-1])
    assert [caption.text for caption in turned[::-1]] == [caption.text for caption in expected]
    again = load(models["attention"], seed=1, **options).caption_features(FEATURES)
    assert sum(mine.text == its.text for mine, its in zip(again, expected, strict=True)) < 6
    for caption in expected:
        by_rank = sorted(caption.candidates, key=_score, reverse=True)
        assert list(caption.candidates) == by_rank


def _score(candidate: tuple[str, float]) -> float:
    words = min(len(candidate[0].split()) + 1, 8)  # with the end, if it came by then
    return candidate[1] / ((5 + words) / 6) ** SearchOptions.length_penalty


def test_samples_of_pixels_are_the_same_in_any_batch(models):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
    options = {"sample": True, "width": 2, "encoder": True}
    expected = load(models["merge"], **options).caption_pixels(pixels)
    turned = load(models["merge"], batch_size=5, **options).caption_pixels(pixels[::-1])
    assert [caption.text for caption in turned[::-1]] == [caption.text for caption in expected]


GRIDS = np.random.default_rng(0).normal(size=(6, 2, 2, toy_features.CHANNELS)).astype(np.float32)


def looks(captioner: Captioner, number: int, text: str) -> np.ndarray:
    """Where a single decoder looks for each word of a caption."""
    decoder, vocabulary = captioner.decoder, captioner.vocabulary
    tokens = ops.convert_to_tensor([vocabulary.encode(text, "en")[:-2]])
    memory, state = decoder.begin(ops.convert_to_tensor(GRIDS[number : number + 1]))
    return np.asarray(decoder.attend(memory, state, tokens)).reshape(-1, 2, 2)


@pytest.mark.parametrize("name", ["attention", "transformer"])
def test_it_is_told_where_the_model_looked_for_each_word(grid_models, name):
    captioner = load(grid_models[name], attention=True, min_length=1)
    for number, caption in enumerate(captioner.caption_features(GRIDS)):
        assert len(caption.attention) == len(caption.text.split())
        expected = looks(captioner, number, caption.text)
        assert np.array(caption.attention) == pytest.approx(expected, abs=1e-4)
    assert load(grid_models[name]).caption_features(GRIDS)[0].attention is None


def test_an_ensemble_looks_where_its_models_do_on_average(grid_models):
    models = [grid_models["attention"], grid_models["transformer"]]
    captioner = load(*models, attention=True, min_length=1)
    alone = [load(model) for model in models]
    for number, caption in enumerate(captioner.caption_features(GRIDS)):
        expected = np.mean([looks(model, number, caption.text) for model in alone], axis=0)
        assert np.array(caption.attention) == pytest.approx(expected, abs=1e-4)


def test_where_there_is_no_attention_the_user_is_told(models, grid_models):
    for kinds in (["merge"], ["attention", "merge"]):
        with pytest.raises(UserError, match="--decoder attention or transformer"):
            load(*(grid_models[name] for name in kinds), attention=True)
    with pytest.raises(UserError, match="--features grid"):
        load(models["attention"], attention=True)


def write_images(directory: Path) -> np.ndarray:
    """Six images of noise; their pixels."""
    drawn = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
    directory.mkdir()
    for number, pixels in enumerate(drawn):
        Image.fromarray(pixels).save(directory / f"{number}.png")
    return drawn


@pytest.mark.parametrize("format", ["jsonl", "parquet"])
def test_the_job_keeps_where_the_model_looked(grid_models, tmp_path, format):
    write_images(tmp_path / "in")
    places = ["--input", f"{tmp_path}/in", "--output", f"{tmp_path}/out", "--format", format]
    model = ["--model", grid_models["transformer"], "--attention", "--min-length", "1"]
    assert cli.main(["caption", *places, *model]) == 0
    found = list(captions.read(f"{tmp_path}/out"))
    assert len(found) == 6
    for record in found:
        jsonschema.validate(json.loads(record.to_line()), SCHEMA)
        assert np.shape(record.attention) == (len(record.caption.split()), 2, 2)


@pytest.mark.parametrize(
    "options",
    [{"length_penalty": 100.0}, {"length_penalty": float("nan")}, {"temperature": 1e-39}],
)
def test_numbers_that_no_hypothesis_can_be_ranked_by_are_refused(options):
    with pytest.raises(UserError, match="is from"):
        SearchOptions(**options)


def test_attention_is_not_for_captions_that_are_only_shown(grid_models, tmp_path, capsys):
    write_images(tmp_path / "in")
    command = ["caption", f"{tmp_path}/in/0.png", "--model", grid_models["attention"]]
    assert cli.main([*command, "--attention"]) == 2
    assert "--output" in capsys.readouterr().err


def test_the_job_takes_several_models_and_every_option(models, tmp_path):
    drawn = write_images(tmp_path / "in")
    flags = [word for directory in models.values() for word in ("--model", directory)]
    flags += "--width 4 --candidates 2 --min-length 2 --max-length 6 --no-repeat-ngram 2".split()
    flags += "--forbid dog,cat --language de --length-penalty 1".split()
    flags += "--sample --temperature 1.5 --top-k 5 --top-p 0.9 --seed 3".split()
    flags += ["--input", f"{tmp_path}/in", "--output", f"{tmp_path}/out"]
    assert cli.main(["caption", *flags]) == 0
    captioner = load(
        *models.values(),
        encoder=True,
        width=4,
        candidates=2,
        min_length=2,
        max_length=6,
        no_repeat_ngram=2,
        forbid=("dog", "cat"),
        language="de",
        length_penalty=1.0,
        sample=True,
        temperature=1.5,
        top_k=5,
        top_p=0.9,
        seed=3,
    )
    expected = captioner.caption_pixels(drawn)
    found = {record.id: record for record in captions.read(f"{tmp_path}/out")}
    for number, caption in enumerate(expected):
        record = found[f"{number}.png"]
        assert record.made_by == captioner.fingerprint
        assert [text for text, _ in record.candidates] == [text for text, _ in caption.candidates]
        assert len(record.candidates) == 2
    (manifest,) = Path(tmp_path, "out/runs").glob("*.json")
    assert json.loads(manifest.read_text())["asked"]["model"] == list(models.values())


def test_images_that_can_not_be_read_cost_no_other_its_caption(models, images, tmp_path, capsys):
    told = tmp_path / "told.json"
    assert cli.main(["caption", *images, "--model", models["merge"], "--json", str(told)]) == 2
    said = capsys.readouterr()
    one, nil, two, text = images
    caption = load(models["merge"], batch_size=1, encoder=True, max_length=30).caption([one])[0]
    assert said.out == f"{one}: {caption.text}\n{two}: {caption.text}\n"
    first, second, error = said.err.splitlines()[-3:]
    assert first == f"{nil}: no such image"
    assert second.startswith(f"{text}: ") and "not" in second
    assert error == "error: 2 of 4 images have no caption"
    written = json.loads(told.read_text())
    assert [row["image"] for row in written["captions"]] == [one, two]
    best = written["captions"][0]["candidates"][0]
    assert (best["caption"], best["log_probability"]) == caption.candidates[0]
    assert written["captions"][0]["caption"] == caption.text
    assert written["failed"][0] == {"image": nil, "message": "no such image"}
    assert written["failed"][1]["image"] == text


def test_some_images_take_the_engine_that_is_asked_for(models, images, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "openvino", None)
    command = ["caption", images[0], "--model", models["merge"]]
    assert cli.main([*command, "--engine", "openvino"]) == 2
    assert "pip install 'captioner[openvino]'" in capsys.readouterr().err
    assert cli.main(command) == 0


@pytest.mark.usefixtures("s3_bucket")  # a process has one client, with the credentials there are
def test_where_no_image_is_there_no_model_is_loaded(images, tmp_path, capsys):
    no_bucket = "s3://x/y.jpg"  # its name is too short
    assert cli.main(["caption", images[1], no_bucket, "--model", str(tmp_path)]) == 2
    first, second, error = capsys.readouterr().err.splitlines()
    assert first == f"{images[1]}: no such image"
    assert second.startswith(f"{no_bucket}: ") and "can't be the name" in second
    assert error == "error: 2 of 2 images have no caption"


def test_a_job_with_another_search_says_why_it_does_all_again(models, images, tmp_path, capsys):
    flags = ["--input", str(tmp_path), "--output", f"{tmp_path}.out", "--model", models["merge"]]
    assert cli.main(["caption", *flags, "--width", "2"]) == 0
    assert "count as done" not in capsys.readouterr().out
    assert cli.main(["caption", *flags, "--width", "3"]) == 0
    language, told, did, *_ = capsys.readouterr().out.splitlines()
    assert language.startswith("captions in en; ")
    why = "the 2 captions of the latest run here are by another model or search"
    assert told == f"{why}, so they don't count as done"
    assert did.startswith("3 images: 2 done now, 0 done before, 1 failed now")
