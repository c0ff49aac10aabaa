"""Jobs whose outputs are real captions and real features, made by a network that costs nothing."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from captioner import captions, datafiles, records, storage
from captioner.captions import CaptionRecord
from captioner.records import FeatureRecord
from captioner.shards import Failure, Outcome, ShardWriter, Summary, new_run
from pipelines import jobs
from pipelines.extract_features import SaveDataset
from pipelines.items import Item
from pipelines.jobs import Work
from tests import toy_features
from tests.conftest import StubJob


def to_caption(item: Item, run: str) -> bytes:
    """The mean colour in words."""
    text = "the colour " + " ".join(str(round(float(value))) for value in item.result)
    reference = item.reference
    size = (item.width, item.height)
    found = (text, -1.5, ((text, -1.5), ("a colour", -2.25)))
    record = CaptionRecord(
        reference.id, reference.uri, item.content_hash, *size, *found, "en", "stub", run
    )
    return record.to_line().encode()


def to_features(item: Item) -> bytes:
    """The mean colour as three features."""
    reference = item.reference
    known = (reference.id, reference.uri, item.content_hash, item.width, item.height)
    return FeatureRecord(*known, item.result, (), reference.split).to_bytes()


class CaptionJob(StubJob):
    """A job that makes captions.

    Attributes:
        format: of the captions.
    """

    def __init__(self, root: Path, format: str = "jsonl") -> None:
        super().__init__(root)
        self.format = format

    def run(self, **changes: Any) -> dict[str, Any]:
        """Run it; the manifest."""
        job = self.job(extension=self.format, **changes)
        work = dataclasses.replace(
            self.work(),
            open_spool=captions.FORMATS[self.format].open_spool,
            to_record=functools.partial(to_caption, run=job.run),
        )
        return jobs.run(job, work, {"input": job.input}, [])

    def results(self) -> dict[str, str]:
        """Captions by id, those that hold."""
        return {found.id: found.caption for found in captions.read(str(self.output))}


class FeatureJob(StubJob):
    """A job that makes features."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.spec = toy_features.encoder().spec

    def run(self, **changes: Any) -> dict[str, Any]:
        """Run it; the manifest."""
        job = self.job(extension=datafiles.FEATURES, settings=self.spec.fingerprint, **changes)
        weights = storage.join(job.output, "encoders", f"{self.spec.weights}.weights.h5")
        toy_features.encoder().save_weights(weights)
        work: Work = dataclasses.replace(
            self.work(),
            open_spool=records.open_spool,
            to_record=to_features,
            finish=SaveDataset(job.output, self.spec, weights, (3,)),
        )
        return jobs.run(job, work, {"input": job.input}, [])

    def results(self) -> dict[str, list[float]]:
        """Features by id, those that hold."""
        found = records.FeatureDataset.load(str(self.output)).records("").as_numpy_iterator()
        return {record["id"].decode(): record["features"].tolist() for record in found}


def grow(job: StubJob, picture: Any) -> None:
    """Fill an output by several runs: new, changed, mended and permanently failed images."""
    for number in range(6):
        picture(job.input / f"a/{number}.png")
    (job.input / "mended.png").touch()
    (job.input / "empty.png").touch()
    job.run()
    for number in range(3):
        picture(job.input / f"b/{number}.png")
    picture(job.input / "a/1.png")
    picture(job.input / "mended.png")
    (job.input / "a/2.png").write_bytes(b"")
    job.run()
    picture(job.input / "a/3.png")
    job.run()


def write_captions(
    output: Path,
    records: list[CaptionRecord],
    task: str = "images-0",
    failed: Sequence[str] = (),
    stamp: str = "stamp",
) -> None:
    """A finished shard of captions, and its run; of features where they have a hash.

    Args:
        failed: ids of images that have no caption.
        stamp: of the images.
    """
    run = new_run()
    summary = Summary(task, f"shards/{task}.jsonl", run, "settings", "")
    writer = ShardWriter(str(output), summary, lambda path: open(path, "wb"))
    for record in records:
        own = dataclasses.replace(record, run=run)
        outcome = Outcome(own.id, own.uri, own.content_hash or stamp, own.content_hash, "", False)
        writer.add_result(outcome, own.to_line().encode())
    for id in failed:
        failure = Failure(id, id, "", "decode", "corrupt", "it is damaged", True, run)
        writer.add_failure(Outcome(id, id, stamp, "", "corrupt", True), failure)
    writer.publish()


def record(id: str, caption: str, uri: str = "/nowhere.jpg", sure: float = -3.0) -> CaptionRecord:
    """A caption of an image that isn't there."""
    return CaptionRecord(id, uri, "", 4, 3, caption, sure, ((caption, sure),), "", "model", "")
