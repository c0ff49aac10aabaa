"""Caption records: what a line of caption output holds, and reading a run's output back.

``captions.schema.json`` beside this module is the specification; every line validates against it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from captioner import shards, storage
from captioner.errors import UserError

EXTENSION = ".jsonl"
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class CaptionRecord:
    """One image's caption.

    Args:
        id, uri, content_hash: as in the feature records; the hash is SHA-256, hexadecimal.
        width, height: of the upright image in pixels.
        caption: the best candidate.
        log_probability: natural logarithm of the caption's probability, summed over its words.
        candidates: (caption, log-probability), best first.
        language: of the caption, as a BCP 47 tag, or empty where the model knows none.
        made_by: fingerprint of the model and the search settings.
        run: the run that made it. Of several records of one id, that of the latest run holds.
    """

    id: str
    uri: str
    content_hash: str
    width: int
    height: int
    caption: str
    log_probability: float
    candidates: tuple[tuple[str, float], ...]
    language: str
    made_by: str
    run: str

    def to_line(self) -> str:
        """The record as one line of JSON."""
        values = dataclasses.asdict(self)
        values["candidates"] = [
            {"caption": caption, "log_probability": log_probability}
            for caption, log_probability in self.candidates
        ]
        return json.dumps({"schema": FORMAT, **values}, ensure_ascii=False) + "\n"

    @classmethod
    def from_line(cls, line: str) -> CaptionRecord:
        """The inverse of `to_line`."""
        values: dict[str, Any] = json.loads(line)
        if values.pop("schema") != FORMAT:
            raise UserError("captions made by another version of captioner; caption again")
        candidates = values.pop("candidates")
        pairs = tuple((found["caption"], found["log_probability"]) for found in candidates)
        return cls(candidates=pairs, **values)


def read(output: str) -> Iterator[CaptionRecord]:
    """The caption of each image that has one; see `outcomes` for which, and for errors."""
    newest = outcomes(output)
    for entry in storage.walk(storage.join(output, "shards")):
        task = entry.uri.rpartition("/")[2].removesuffix(EXTENSION)
        for line in storage.read_bytes(entry.uri).decode().split("\n")[:-1]:
            record = CaptionRecord.from_line(line)
            if newest.get(record.id) == task:
                yield record


def outcomes(output: str) -> dict[str, str]:
    """The task that holds the caption of each image, or its failure.

    Captions by the model and search of the latest run go before others, newer ones before older.

    Raises:
        UserError: `output` is not a caption output.
    """
    files = [entry.uri for entry in storage.walk(storage.join(output, "shards"))]
    if not files or not all(file.endswith(EXTENSION) for file in files):
        raise UserError(f"{output}: no captions here; make them with `captioner caption`")
    return shards.newest(output, shards.latest_settings(output))
