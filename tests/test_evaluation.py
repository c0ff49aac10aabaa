"""`captioner evaluate`: what it counts, holds against what, prints and writes."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from captioner import cli, corpora, scoring
from captioner.errors import UserError
from captioner.evaluation import Scores, evaluate
from tests.compared import MADE, REFERENCES, scene_captions, write_captions, write_references

GOLDEN = Path(__file__).parent / "golden/scores.json"


@pytest.fixture(autouse=True)
def without_java(request: pytest.FixtureRequest, monkeypatch, tmp_path: Path) -> None:
    """METEOR takes long to start."""
    if "slow" not in request.keywords:
        monkeypatch.setenv("PATH", str(tmp_path))


def score(root: Path, split: str | None = None, language: str = "", **given: Any) -> Scores:
    """Scores of captions against references, by default those of `tests.compared`."""
    output = write_captions(root / "out", given.get("made", MADE), language=language)
    references = given.get("references", REFERENCES)
    file = write_references(root / "references.jsonl", references, given.get("of", ""))
    return evaluate(str(output), str(file), split=split).scores


def test_scores_are_those_of_the_functions(tmp_path: Path) -> None:
    """Of every image of the split that was tried; one that failed is a caption without words."""
    ids = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", "g.jpg"]
    candidates = [(MADE[id] or "").split() for id in ids]
    references = [[corpora.words(text) for text in REFERENCES[id][1]] for id in ids]
    found = score(tmp_path)
    assert (found.split, found.images, found.failed) == ("test", 6, 1)
    assert found.bleu == scoring.bleu(candidates, references)
    assert found.rouge_l == scoring.rouge_l(candidates, references)
    assert found.cider_d == scoring.cider_d(candidates, references)
    assert found.meteor is None and found.right is None


def test_variety_is_that_of_the_captions_there_are(tmp_path: Path) -> None:
    """Five of them, one of these empty: 23 words, two captions alike; three as in training."""
    found = score(tmp_path)
    assert found.vocabulary_used == 14
    assert found.mean_length == 23 / 5
    assert found.distinct == 4 / 5
    assert found.copied == 3 / 5


def test_without_a_training_split_nothing_is_known_of_copies(tmp_path: Path) -> None:
    references = {id: known for id, known in REFERENCES.items() if known[0] != "train"}
    assert score(tmp_path, references=references).copied is None


def test_a_split_that_all_failed_in_scores_0(tmp_path: Path) -> None:
    found = score(tmp_path, made={"a.jpg": None, "b.jpg": None})
    assert (found.images, found.failed) == (2, 2)
    assert found.bleu == (0, 0, 0, 0) and found.rouge_l == found.cider_d == 0
    assert found.vocabulary_used == found.mean_length == found.distinct == found.copied == 0


@pytest.mark.parametrize(("asked", "found"), [(None, "test"), ("dev", "dev"), ("all", "all")])
def test_the_split_is_what_was_asked_for_or_test(tmp_path: Path, asked, found) -> None:
    assert score(tmp_path, asked).split == found


def test_without_a_test_image_it_is_dev_and_then_train(tmp_path: Path) -> None:
    assert score(tmp_path / "1", made={"f.jpg": "x", "t1.jpg": "x"}).split == "dev"
    assert score(tmp_path / "2", made={"t1.jpg": "a dog"}).split == "train"


def test_the_newest_captions_of_the_latest_settings_count(tmp_path: Path) -> None:
    write_captions(tmp_path / "out", {"c.jpg": "nothing", "a.jpg": "a brown dog"}, "other")
    write_captions(tmp_path / "out", {"c.jpg": "nothing at all", "a.jpg": None}, "one")
    found = score(tmp_path, made={"c.jpg": "children throw snow"})
    assert (found.images, found.failed) == (2, 1)
    assert (found.vocabulary_used, found.mean_length) == (3, 3)


def test_a_caption_is_held_against_references_in_its_language(tmp_path: Path) -> None:
    rows = [
        {"image": "a.jpg", "caption": "A dog", "language": "en", "split": "test"},
        {"image": "a.jpg", "caption": "Un chien d'eau", "language": "fr", "split": "test"},
        {"image": "b.jpg", "caption": "A cat", "split": "test"},
    ]
    file = tmp_path / "references.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = {"a.jpg": "un chien d'eau", "b.jpg": "un chat"}
    output = write_captions(tmp_path / "out", made, language="fr")
    one, other = evaluate(str(output), str(file)).comparisons
    assert one.reference_words == [["un", "chien", "d'eau"]] == [one.words]
    assert other.references == ("A cat",)


def test_words_are_told_by_the_language_of_the_references(tmp_path: Path) -> None:
    """Where the captions don't say theirs; in English, "u" would be a stray letter."""
    references = {"a.jpg": ("test", ["Pas u jezeru", "pas pliva u vodi"])}
    found = score(tmp_path, made={"a.jpg": "pas u vodi"}, references=references, of="hr")
    assert found.vocabulary_used == 3
    assert score(tmp_path / "en", made={"a.jpg": "a u b"}).vocabulary_used == 1


def test_scripts_without_spaces_are_scored_by_character(tmp_path: Path) -> None:
    references = {"a.jpg": ("test", ["一只狗在沙滩上跑"])}
    found = score(tmp_path, made={"a.jpg": "一只狗在雪上跑"}, references=references)
    assert found.vocabulary_used == 7
    assert found.rouge_l == pytest.approx((1 + 1.44) * (6 / 7) * (6 / 8) / (6 / 8 + 1.44 * 6 / 7))


def test_captions_of_scenes_are_right_or_wrong(tmp_path: Path) -> None:
    scenes = scene_captions(4)
    references = {f"{n}.jpg": ("test", texts) for n, texts in enumerate(scenes)}
    made = {id: texts[2] for id, (_, texts) in references.items()}
    made["0.jpg"], made["1.jpg"] = scenes[1][0], None
    assert score(tmp_path, made=made, references=references).right == 2 / 4


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def test_the_command_prints_captions_and_scores_and_writes_them(tmp_path: Path, capsys) -> None:
    output, file = write_captions(tmp_path / "out"), write_references(tmp_path / "r.jsonl")
    target = tmp_path / "new/scores.json"
    flags = ("--captions", output, "--references", file, "--json", target)
    assert run("evaluate", *flags, "--show", 2) == 0
    *shown, others, scores, variety, failed = capsys.readouterr().out.splitlines()
    assert others == "left out: 1 image of other splits (see --split)"
    assert len(shown) == 2 * 3
    assert scores == (
        "6 images of the split 'test': BLEU-1 0.434, BLEU-2 0.399, BLEU-3 0.334, BLEU-4 0.303, "
        "ROUGE-L 0.492, CIDEr-D 1.609"
    )
    assert variety == (
        "14 different words, 4.6 a caption; 80% of the captions are distinct, "
        "60% are copied from training captions"
    )
    assert failed == "1 of them failed and count as wrong"
    written, golden = json.loads(target.read_text()), json.loads(GOLDEN.read_text())
    assert list(written) == list(golden)
    assert (written["captions"], written["references"]) == (str(output), str(file))
    assert written["settings"] == "one"
    same = [name for name in golden if name not in ("captions", "references", "settings", "meteor")]
    assert {name: written[name] for name in same} == {
        name: pytest.approx(golden[name]) for name in same
    }


def test_all_splits_are_scored_together(tmp_path: Path, capsys) -> None:
    """As if they were one; by default one would count."""
    made = {"a.jpg": "a dog runs", "f.jpg": "a dog", "t1.jpg": "a dog on sand"}
    output, file = write_captions(tmp_path / "out", made), write_references(tmp_path / "r.jsonl")
    target = tmp_path / "scores.json"
    flags = ("--captions", output, "--references", file, "--split", "all", "--beside", output)
    assert run("evaluate", *flags, "--json", target, "--html", tmp_path / "scores.html") == 0
    said = capsys.readouterr().out
    assert said.count("\n3 images of all splits: ") == 2 and "left out" not in said
    together = {id: ("test", REFERENCES[id][1]) for id in made}
    written = json.loads(target.read_text())
    assert (written["split"], written["images"]) == ("all", 3)
    expected = score(tmp_path / "one", made=made, references=together)
    assert (written["cider_d"], tuple(written["bleu"])) == (expected.cider_d, expected.bleu)


def test_scores_are_read_back_as_they_were_written() -> None:
    golden = GOLDEN.read_text()
    scores = Scores.from_json(golden)
    assert scores.bleu[3] == 0.3028288680332148 and scores.meteor == 0.2827841126525603
    values = {name: value for name, value in json.loads(golden).items()}
    assert dataclasses.asdict(scores) == {
        **{name: values[name] for name in dataclasses.asdict(scores)},
        "bleu": tuple(values["bleu"]),
    }
    with pytest.raises(UserError, match="another version"):
        Scores.from_json(golden.replace('"format": 1', '"format": 2'))


@pytest.mark.parametrize("verb", ["evaluate", "score"])
def test_what_can_not_be_scored_is_said_in_a_line(tmp_path: Path, capsys, verb) -> None:
    output, file = write_captions(tmp_path / "out"), write_references(tmp_path / "r.jsonl")
    target = ("--output", tmp_path / "scores.json") if verb == "score" else ()

    def refused(captions: Path, references: Path, *others: object) -> str:
        flags = ("--captions", captions, "--references", references, *target, *others)
        assert run(verb, *flags) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ") and said.count("\n") == 1
        return said

    assert "captioner caption" in refused(tmp_path / "nothing", file)
    assert "no such file" in refused(output, tmp_path / "nothing.csv")
    assert "in the split 'train'" in refused(output, file, "--split", "train")
    others = write_references(tmp_path / "others.jsonl", {"x.jpg": ("test", ["A boat"])})
    assert f"none of its images is in {others}; " in refused(output, others, "--split", "all")
    assert "--nonsense" in refused(output, file, "--nonsense")
    assert not (tmp_path / "scores.json").exists()


@pytest.mark.slow
def test_meteor_is_for_english_alone(tmp_path: Path) -> None:
    pytest.importorskip("pycocoevalcap.meteor.meteor")
    if not shutil.which("java"):
        pytest.skip("needs Java")
    assert 0 < score(tmp_path / "en", language="en-GB").meteor < 1
    assert score(tmp_path / "de", language="de").meteor is None
