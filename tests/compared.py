"""Captions of one's choice as the output of a job, and collections to hold them against."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from captioner import shards, storage
from captioner.captions import CaptionRecord
from captioner.corpora.scenes.facts import imagine
from captioner.corpora.scenes.wording import WORDINGS, tell
from captioner.shards import Failure, Outcome, ShardWriter, Summary

# Two shards of three images and one of two; one failed, and one has no references.
MADE = {
    "a.jpg": "a dog runs on the sand",
    "b.jpg": "a dog runs on the sand",
    "c.jpg": "two children play in the snow",
    "d.jpg": None,
    "e.jpg": "a man rides a wave",
    "f.jpg": "a dog",
    "g.jpg": "",
    "unknown.jpg": "nobody knows what this is",
}
REFERENCES = {
    "a.jpg": ("test", ["A brown dog runs on the sand .", "A dog is running on a beach ."]),
    "b.jpg": ("test", ["A dog catches a ball in the snow .", "The dog jumps on the beach"]),
    "c.jpg": ("test", ["Two children play in the snow .", "Children throw snow", "Kids , playing"]),
    "d.jpg": ("test", ["A woman in a red coat", "The woman is on the sand"]),
    "e.jpg": ("test", ["A man is riding a wave on a surfboard ."]),
    "f.jpg": ("dev", ["A black dog"]),
    "g.jpg": ("test", ["A wave in the sea"]),
    "never-tried.jpg": ("test", ["A boat"]),
    "t1.jpg": ("train", ["A dog runs on the sand .", "A dog on sand"]),
    "t2.jpg": ("train", ["A man rides a wave !", "."]),
}


def write_captions(
    output: Path,
    made: Mapping[str, str | None] = MADE,
    settings: str = "one",
    language: str = "",
    shard_size: int = 3,
) -> Path:
    """A finished run that made these captions, by id; None is an image that failed."""
    run, ids = shards.new_run(), sorted(made)
    for start in range(0, len(ids), shard_size):
        task = f"{start:08}{run[-6:]}"
        summary = Summary(task, f"shards/{task}.jsonl", run, settings, "")
        writer = ShardWriter(str(output), summary, functools.partial(open, mode="wb"))
        for id in ids[start : start + shard_size]:
            _add(writer, id, made[id], language, run)
        writer.publish()
    manifest = json.dumps({"settings": settings}).encode()
    storage.create(f"{output}/runs/{run}.json", manifest)
    return output


def _add(writer: ShardWriter, id: str, caption: str | None, language: str, run: str) -> None:
    if caption is None:
        outcome = Outcome(id, id, "1:1", "", "empty", True)
        return writer.add_failure(outcome, Failure(id, id, "", "read", "empty", "", True, run))
    found = (caption, -1.5, ((caption, -1.5),), language)
    record = CaptionRecord(id, id, "", 12, 8, *found, "one", run)
    writer.add_result(Outcome(id, id, "1:1", "", "", False), record.to_line().encode())


def write_references(
    file: Path, references: Mapping[str, tuple[str, list[str]]] = REFERENCES, language: str = ""
) -> Path:
    """A collection as JSONL: split and captions by id."""
    rows = (
        {"image": id, "captions": texts, "split": split, "language": language}
        for id, (split, texts) in references.items()
    )
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return file


def scene_captions(count: int, seed: int = 0) -> list[list[str]]:
    """The captions, in five wordings, of each of some scenes."""
    generator = np.random.default_rng(seed)
    imagined = (imagine(generator, held_out=False) for _ in range(count))
    return [
        [tell(facts, wording, bool(generator.random() < 0.5)) for wording in WORDINGS]
        for facts in imagined
    ]
