"""The job that finds the neighbours of every image of an output: near-duplicates, where near.

Each worker loads the output's index, which the command has brought up to date, and asks it for some
images' at a time. So the index, some hundred bytes an image, has to fit into a worker's memory.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.pvalue import PBegin, PCollection
from apache_beam.utils.shared import Shared

from captioner import storage
from captioner.errors import UserError
from captioner.similarity import Image, Neighbour, Similar
from pipelines import options

FORMAT = 1

_PART = re.compile(r"/neighbours/\d{6,}\.jsonl\Z")
_SOME = 2_000  # images whose neighbours are one file


@dataclasses.dataclass(frozen=True)
class NeighboursJob:
    """What is asked.

    Args:
        source: an output, see `Similar.of`.
        output: the directory where the neighbours go.
        by: what images are compared by.
        top: neighbours of an image at most.
        least: the least similarity.
    """

    source: str
    output: str
    by: str
    top: int
    least: float

    @property
    def summary(self) -> str:
        """The file that is there once the job has come to its end."""
        return storage.join(self.output, "summary.json")

    def check(self) -> None:
        """See that the output is free.

        Raises:
            UserError: there are neighbours already.
        """
        if storage.exists(self.summary):
            raise UserError(f"{self.output}: neighbours are here already; choose another --output")

    def file(self, part: int) -> str:
        """Where the neighbours that one call finds go."""
        return storage.join(self.output, "neighbours", f"{part:06d}.jsonl")

    def clear(self) -> None:
        """Remove the files of a job that was killed, which asked another index perhaps."""
        for entry in storage.walk(storage.join(self.output, "neighbours")):
            if _PART.search(entry.uri):
                storage.remove(entry.uri)


def run(job: NeighboursJob, flags: Sequence[str]) -> dict[str, int]:
    """Run the job to its end.

    Args:
        flags: Beam's own.

    Returns:
        How many images there are, and how many of them have neighbours.

    Raises:
        UserError: see `NeighboursJob.check` and `Similar.of`, or the index can't be kept.
    """
    chosen = options.parse(flags)
    job.check()
    similar = Similar.of(job.source, job.by)
    if similar.unkept:
        raise UserError(f"the workers need the index, which can't be kept: {similar.unkept}")
    job.clear()
    with beam.Pipeline(options=chosen) as pipeline:
        found = FindNeighbours(job, similar.version, len(similar))
        pipeline | "Find neighbours" >> found
    return json.loads(storage.read_bytes(job.summary))["images"]


@dataclasses.dataclass(eq=False)
class FindNeighbours(beam.PTransform):
    """Ask for some images at a time, write what is found, and add up.

    Args:
        job: what is asked.
        version: the index'.
        count: how many images it has.
    """

    job: NeighboursJob
    version: str
    count: int

    def expand(self, begin: PBegin) -> PCollection:
        return (
            begin
            | beam.Create(range(0, self.count, _SOME))
            | "Some images each" >> beam.Reshuffle()
            | "Ask and write" >> beam.ParDo(AskAndWrite(self.job, self.version))
            | "Add up" >> beam.CombineGlobally(added_up)
            | "Publish" >> beam.Map(publish, self.job)
        )


class AskAndWrite(beam.DoFn):
    """From the place of the first of some images to their counts.

    Args:
        job: what is asked.
        version: of the index.
    """

    def __init__(self, job: NeighboursJob, version: str) -> None:
        self._job = job
        self._version = version
        self._shared = Shared()
        self._images = Metrics.counter("captioner", "images")

    def setup(self) -> None:
        job = self._job
        # The threads of a worker's process ask one index.
        self._similar = self._shared.acquire(
            lambda: Similar.kept(job.source, job.by, self._version), self._version
        )

    def process(self, first: int) -> Iterator[dict[str, int]]:
        job = self._job
        found = [*self._similar.each(first, first + _SOME, job.top, job.least)]
        self._images.inc(len(found))
        lines = [to_line(image, near) for image, near in found if near]
        storage.replace(job.file(first // _SOME), "".join(lines).encode())
        yield {"seen": len(found), "with_neighbours": len(lines)}


def to_line(image: Image, near: Sequence[Neighbour]) -> str:
    """An image and its neighbours as a line of JSON."""
    neighbours = [{"id": one.image.id, "similarity": round(one.similarity, 4)} for one in near]
    values = {"schema": FORMAT, "id": image.id, "uri": image.uri, "neighbours": neighbours}
    return json.dumps(values, ensure_ascii=False) + "\n"


def added_up(counts: Iterator[dict[str, int]]) -> dict[str, int]:
    """The sum of counts, by name."""
    total = {"seen": 0, "with_neighbours": 0}
    for one in counts:
        for name, number in one.items():
            total[name] += number
    return total


def publish(images: dict[str, int], job: NeighboursJob) -> str:
    """Write what the job was asked and what it found; return where."""
    values = {"format": FORMAT, **dataclasses.asdict(job), "images": images}
    storage.replace(job.summary, (json.dumps(values, indent=1) + "\n").encode())
    return job.summary
