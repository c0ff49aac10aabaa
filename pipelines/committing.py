"""COMMIT: what the shards returned becomes the run's manifest."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import platform
from collections import Counter
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Any

import apache_beam as beam

from captioner import __version__, shards, storage
from captioner.errors import TooManyFailures, UserError
from captioner.shards import Summary
from pipelines.job import Job

_PACKAGES = ("apache-beam", "tensorflow", "keras", "numpy", "pillow")


@dataclasses.dataclass(eq=False)
class Commit(beam.PTransform):
    """Publish the run's manifest once every shard is there.

    It is made in the graph, from the values that the shards returned, so it is right on every
    engine and needs no client; metrics are for watching only.

    Args:
        job: the job.
        asked: what the user asked for, as JSON values.
        finish: called with the finished manifest and all summaries, kept ones included.
        raises: whether too many failures fail the pipeline: where nobody waits for the run's end
            who would tell. Where somebody does, engines would only try again what raises.
    """

    job: Job
    asked: dict[str, Any]
    finish: Callable[[dict[str, Any], list[Summary]], None] | None = None
    raises: bool = False

    def expand(self, parts: dict[str, beam.PCollection]) -> beam.PCollection:
        labelled = [
            parts[name] | f"As {name}" >> beam.Map(lambda value, name=name: (name, value))
            for name in ("made", "kept", "tally")
        ]
        published = (
            labelled
            | beam.Flatten()
            | "Collect" >> beam.CombineGlobally(Collect())
            | "Publish manifest" >> beam.Map(publish, self.job, self.asked, self.finish)
        )
        if not self.raises:
            return published
        manifest = published | "Read manifest" >> beam.Map(read_manifest)
        return manifest | "Check failures" >> beam.Map(check_failures)


class Collect(beam.CombineFn):
    """Labelled values to one list for each label. A repeated value stands once."""

    def create_accumulator(self) -> dict[str, dict[Any, None]]:
        return {"made": {}, "kept": {}, "tally": {}}

    def add_input(self, accumulator: dict, value: tuple[str, Any]) -> dict:
        accumulator[value[0]][value[1]] = None
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[dict]) -> dict:
        merged = self.create_accumulator()
        for accumulator in accumulators:
            for label, values in accumulator.items():
                merged[label].update(values)
        return merged

    def extract_output(self, accumulator: dict) -> dict[str, list]:
        return {label: list(values) for label, values in accumulator.items()}


def publish(
    parts: dict[str, list],
    job: Job,
    asked: dict[str, Any],
    finish: Callable[[dict[str, Any], list[Summary]], None] | None,
) -> str:
    """Write the manifest, unless an earlier attempt did, and return its URI.

    Raises:
        UserError: shards that were made are there no longer.
    """
    made = sorted(map(Summary.from_line, parts["made"]), key=lambda summary: summary.task)
    tasks = {summary.task for summary in made}
    kept = [Summary.from_line(line) for line in parts["kept"]]
    kept = [summary for summary in kept if summary.task not in tasks]
    check_shards(made, job)
    manifest = shards.manifest_of(
        job.run, job.settings, asked, versions(), made, dict(parts["tally"])
    )
    adopted = orphans(kept, job.output)
    manifest["adopted"] = [dataclasses.asdict(orphan) for orphan in adopted]
    known = adopted_before(job.output)
    tried = [*made, *(orphan for orphan in adopted if orphan.task not in known)]
    manifest["too_many_failures"] = excess_of_failures(tried, job)
    if not storage.create(job.manifest, (json.dumps(manifest, indent=1) + "\n").encode()):
        manifest = read_manifest(job.manifest)
    if finish:
        finish(manifest, made + kept)
    return job.manifest


def check_shards(made: list[Summary], job: Job) -> None:
    """See that what the manifest is about to say is true.

    Raises:
        UserError: the output directory, or a shard in it, has vanished.
    """
    job.check_output()
    there = {storage.name(entry.uri) for entry in storage.walk(storage.join(job.output, "shards"))}
    gone = [summary.file for summary in made if storage.name(summary.file) not in there]
    if gone:
        raise UserError(
            f"{storage.join(job.output, gone[0])}: has vanished while the job ran, as have "
            f"{len(gone) - 1} more shards; run the same command again"
        )


def read_manifest(uri: str) -> dict[str, Any]:
    """What a published manifest says."""
    return json.loads(storage.read_bytes(uri))


def check_failures(manifest: dict[str, Any]) -> None:
    """See that not more images failed than the user allows.

    Raises:
        TooManyFailures: with the reasons, counted.
    """
    if excess := manifest["too_many_failures"]:
        raise TooManyFailures(excess)


def excess_of_failures(summaries: list[Summary], job: Job) -> str:
    """What to say where more images failed than the user allows; empty where they didn't.

    Args:
        summaries: of the run's shards, and of those that were finished by a run that was killed.
    """
    reasons: Counter[str] = Counter()
    for summary in summaries:
        reasons.update(summary.failed)
    failed = reasons.total()
    tried = failed + sum(summary.done for summary in summaries)
    allowed = job.options.max_failures
    if not allowed or not allowed.are_exceeded(failed, tried):
        return ""
    counted = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
    return (
        f"{failed} of {tried} images failed ({counted}), more than the {allowed} "
        f"allowed; see {storage.join(job.output, 'failures')}; the other results are in place"
    )


def orphans(summaries: list[Summary], output: str) -> list[Summary]:
    """Those shards whose run never came to its commit, so that its manifest doesn't have them."""
    runs = storage.walk(storage.join(output, "runs"))
    committed = {storage.name(entry.uri).removesuffix(".json") for entry in runs}
    return [summary for summary in summaries if summary.run not in committed]


def adopted_before(output: str) -> set[str]:
    """The tasks that the latest manifest has adopted already."""
    latest = shards.latest_manifest(output)
    if latest is None:
        return set()
    with contextlib.suppress(ValueError):  # cut short: `captioner verify` names it
        return {one["task"] for one in json.loads(storage.read_bytes(latest)).get("adopted", ())}
    return set()


def versions() -> dict[str, str]:
    """What the job ran on."""
    ours = {"captioner": __version__, "python": platform.python_version()}
    return ours | {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # a worker's TensorFlow may be the one without CUDA
        return metadata.version(f"{package}-cpu")
