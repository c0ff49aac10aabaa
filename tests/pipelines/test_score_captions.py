"""The scoring job gives what `evaluate` gives."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from captioner.evaluation import Scores, evaluate
from pipelines import score_captions
from pipelines.score_captions import ScoreCaptions, ScoreJob
from tests.compared import REFERENCES, scene_captions, write_captions, write_references


@pytest.fixture(autouse=True)
def without_java(monkeypatch, tmp_path: Path) -> None:
    """The job leaves METEOR out."""
    monkeypatch.setenv("PATH", str(tmp_path))


def job(output: Path, references: Path, **given: Any) -> ScoreJob:
    return ScoreJob(str(output), f"{output}.json", str(references), **given)


def assert_same(found: Scores, expected: Scores) -> None:
    for name, value in dataclasses.asdict(expected).items():
        assert getattr(found, name) == pytest.approx(value, abs=1e-9), name


def assert_as_evaluated(output: Path, references: Path, split: str | None = None) -> Scores:
    found = score_captions.run(job(output, references, split=split), [])
    assert_same(found, evaluate(str(output), str(references), split=split).scores)
    return found


@pytest.mark.parametrize("split", [None, "dev", "all"])
def test_scores_are_those_of_evaluate(tmp_path: Path, split) -> None:
    """Over several shards, with failures, an empty caption, and images on one side only."""
    output, references = write_captions(tmp_path / "out"), write_references(tmp_path / "r.jsonl")
    found = assert_as_evaluated(output, references, split)
    assert found.images == {None: 6, "dev": 1, "all": 7}[split]
    assert Scores.from_json(Path(f"{output}.json").read_bytes()) == found


def test_scenes_are_scored_alike(tmp_path: Path) -> None:
    scenes = scene_captions(60)
    splits = ["test", "test", "train"]
    references = {f"{n}.jpg": (splits[n % 3], texts[1:]) for n, texts in enumerate(scenes)}
    made = {f"{n}.jpg": scenes[n * n % 60][0] for n in range(60)}
    file = write_references(tmp_path / "r.jsonl", references)
    found = assert_as_evaluated(write_captions(tmp_path / "out", made, shard_size=7), file)
    assert 0 < found.right < 1 and found.cider_d > 0.5


def test_the_newest_captions_of_the_latest_settings_count(tmp_path: Path) -> None:
    file = write_references(tmp_path / "r.jsonl")
    write_captions(tmp_path / "out", {"c.jpg": "nothing", "a.jpg": "a brown dog"}, "other")
    write_captions(tmp_path / "out", {"c.jpg": "nothing at all", "a.jpg": None}, "one")
    output = write_captions(tmp_path / "out", {"c.jpg": "children throw snow"}, "one")
    found = assert_as_evaluated(output, file)
    assert (found.images, found.failed, found.vocabulary_used) == (2, 1, 3)


def test_languages_are_minded_alike(tmp_path: Path) -> None:
    references = {
        "a.jpg": ("test", ["Un chien d'eau", "l'eau"]),
        "b.jpg": ("train", ["Un chien d'eau"]),
    }
    file = write_references(tmp_path / "r.jsonl", references, language="fr")
    output = write_captions(tmp_path / "out", {"a.jpg": "un chien d'eau"}, language="fr")
    assert assert_as_evaluated(output, file).copied == 1


@pytest.mark.parametrize(
    "made", [{"a.jpg": None, "b.jpg": None}, {"a.jpg": "", "b.jpg": ""}, {"a.jpg": "a dog"}]
)
def test_little_to_score(tmp_path: Path, made) -> None:
    """All failed, nothing said, and a single image, whose CIDEr-D is 0."""
    file = write_references(tmp_path / "r.jsonl")
    assert assert_as_evaluated(write_captions(tmp_path / "out", made), file).cider_d == 0


def test_without_a_training_split_nothing_is_known_of_copies(tmp_path: Path) -> None:
    references = {id: known for id, known in REFERENCES.items() if known[0] != "train"}
    file = write_references(tmp_path / "r.jsonl", references)
    assert assert_as_evaluated(write_captions(tmp_path / "out"), file).copied is None


def test_scored_images_are_counted(tmp_path: Path) -> None:
    output, references = write_captions(tmp_path / "out"), write_references(tmp_path / "r.jsonl")
    pipeline = beam.Pipeline(runner=FnApiRunner())
    pipeline | ScoreCaptions(job(output, references))
    result = pipeline.run()
    result.wait_until_finish()
    (counter,) = result.metrics().query(beam.metrics.MetricsFilter().with_name("images_scored"))[
        "counters"
    ]
    assert counter.committed == 6
