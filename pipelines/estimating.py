"""A dry run: how many images a job would do, how long it would take, how much it would write.

The input is listed as the job would list it, and a sample goes through all that the job does, on
this machine. Nothing is written to the job's output.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam

from captioner import storage, videos
from captioner.images import ImageError
from captioner.shards import Summary
from captioner.tasks import Reference, Task
from captioner.wording import counted
from pipelines import options
from pipelines.frames import film_of
from pipelines.inference import LoadedWhenNeeded
from pipelines.job import Job
from pipelines.jobs import Work
from pipelines.planning import FindOut
from pipelines.reading import ReadTasks, reading_order, readings
from pipelines.writing import TaskWriter

SAMPLE = 64


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a job would do.

    Args:
        to_do: images.
        tally: of the others: "seen", "skipped", "failed_before" and "absent".
        sample: how the tried images ended.
        tried: how many those are.
        seconds: on this machine, an image.
        read: bytes, an image.
    """

    to_do: int
    tally: dict[str, int]
    sample: Summary | None = None
    tried: int = 0
    seconds: float = 0.0
    read: float = 0.0

    @property
    def hours(self) -> float:
        """Of one machine like this one."""
        return self.to_do * self.seconds / 3600

    def as_text(self, made: str, price: float | None = None) -> str:
        """The estimate, for people.

        Args:
            made: what the job makes.
            price: of such a machine, an hour.
        """
        counts = {name: self.tally.get(name, 0) for name in ("skipped", "failed_before", "absent")}
        lines = [
            f"{counted(self.to_do, 'image')} to do; {counts['skipped']:,} done before, "
            f"{counts['failed_before']:,} failed before, {counts['absent']:,} no longer there"
        ]
        if self.sample:
            lines += self._of_sample(self.sample, made, price)
        return "\n".join(lines)

    def _of_sample(self, sample: Summary, made: str, price: float | None) -> Iterator[str]:
        ended = [f"{sample.done} {made}", *(f"{n} {reason}" for reason, n in sample.failed.items())]
        written = sample.size / max(1, sample.done)
        share = sample.done / self.tried
        yield f"tried {self.tried} of them: {', '.join(ended)}"
        yield f"to read: about {_size(self.read * self.to_do)} ({_size(self.read)} an image)"
        yield f"to write: about {_size(written * share * self.to_do)} ({_size(written)} an image)"
        yield (
            f"time: about {_duration(3600 * self.hours)} on this machine "
            f"({os.cpu_count()} cores, {1 / self.seconds:.1f} images a second)"
        )
        cost = "" if price is None else f", about {self.hours * price:,.2f} at {price:g} an hour"
        yield f"worker-hours: {self.hours:,.2f} of machines like this one{cost}"


def estimate(job: Job, work: Work) -> Estimate:
    """Find out what a job would do.

    Args:
        job: the job. Its output is read, not written.
        work: what it does to its images.
    """
    with tempfile.TemporaryDirectory(prefix="captioner-") as directory:
        with beam.Pipeline(options=options.parse([])) as pipeline:
            find_out(pipeline, job, directory)
        found = {file.stem: json.loads(file.read_text()) for file in Path(directory).iterdir()}
        chosen = [Reference(*row[:-1], tuple(row[-1])) for row in found["sample"]]
        tally = {name: count for name, count in found["tally"].items() if ":" not in name}
        known = Estimate(found["to_do"], tally)
        if not chosen:
            return known
        model = work.handler.load_model()
        # What only the first images cost (loading the network, compiling it) is no measure.
        warm = dataclasses.replace(job, output=storage.join(directory, "warm-up"))
        try_out(chosen[: job.options.batch_size], warm, work, model)
        trial = dataclasses.replace(job, output=storage.join(directory, "trial"))
        started = time.perf_counter()
        sample = try_out(chosen, trial, work, model)
        seconds = (time.perf_counter() - started) / len(chosen)
        return dataclasses.replace(
            known,
            sample=sample,
            tried=len(chosen),
            seconds=seconds,
            read=bytes_of(chosen, job.options.every),
        )


def find_out(pipeline: beam.Pipeline, job: Job, directory: str) -> None:
    """Leave the number of images to do, the tally and a sample in files of a local directory."""
    found = pipeline | FindOut(job)
    by_hash = found["to_do"] | "With hash" >> beam.Map(with_hash)
    parts = {
        "to_do": found["to_do"] | "Count" >> beam.combiners.Count.Globally(),
        "tally": found["tally"] | "Tallied" >> beam.combiners.ToDict(),
        "sample": by_hash
        | "Sample" >> beam.combiners.Top.Smallest(SAMPLE)
        | "Without hash" >> beam.Map(lambda chosen: [row for _, row in chosen]),
    }
    for name, values in parts.items():
        _ = values | f"Write {name}" >> beam.Map(write_json, storage.join(directory, name))


def with_hash(reference: tuple) -> tuple[str, tuple]:
    """A reference behind the hash of its id: the smallest are a sample that is always the same."""
    return hashlib.sha256(reference[0].encode()).hexdigest(), reference


def write_json(value: Any, file: str) -> None:
    """Write one value to a file."""
    storage.replace(f"{file}.json", json.dumps(value).encode())


def try_out(references: list[Reference], job: Job, work: Work, model: LoadedWhenNeeded) -> Summary:
    """Do some images as the job does, one step after the other and without Beam."""
    job.begin({})
    uri = Task.of(references, job.settings).publish(job.plan, str(len(references)))
    reader = ReadTasks(job, work.image_size)
    reader.setup()
    writer: TaskWriter | None = None
    items = reader.process(uri)
    while batch := list(itertools.islice(items, job.options.batch_size)):
        for item in work.handler.run_inference(batch, model):
            writer = writer or TaskWriter(job, item, work.open_spool, work.to_record)
            writer.add(item)
    reader.teardown()
    return writer.publish()


def bytes_of(references: list[Reference], every: float | None) -> float:
    """How many bytes an image has, on average, of those that can be read.

    Args:
        every: of films, whose bytes are those of their frames, see `videos.planned`.
    """
    by_film = functools.cache(functools.partial(_bytes_a_frame, every=every))
    films = [film for reference in references if (film := film_of(reference))]
    others = sorted((one for one in references if not film_of(one)), key=reading_order)
    sizes = []
    for film in films:
        with contextlib.suppress(OSError, ImageError):
            sizes.append(by_film(film))
    for _, read in readings(others):
        with contextlib.suppress(OSError, ImageError):
            sizes.append(len(read()))
    return sum(sizes) / max(1, len(sizes))


def _bytes_a_frame(film: str, every: float | None) -> float:
    entry = storage.entry(film)
    return entry.size / len([*videos.planned(film, every)]) if entry else 0.0


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:,.1f} h"
