"""EXECUTE, first step: a task's images, read and decoded ahead of inference."""

from __future__ import annotations

import collections
import dataclasses
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import apache_beam as beam
import numpy as np
from apache_beam.metrics import Metrics

from captioner import images, records, storage
from captioner.images import ImageError, Reason
from captioner.tasks import Reference, Task
from pipelines.planning import Job


@dataclasses.dataclass
class Problem:
    """Why an image has no result: the stage it failed in, and the parts of a `shards.Failure`."""

    stage: str
    reason: str
    message: str
    permanent: bool


@dataclasses.dataclass
class Item:
    """One image on its way through the fused stage. It never leaves the process.

    Args:
        task: the task it belongs to.
        reference: the image; None makes the item stand for a whole task that is finished already.
        pixels_or_features: what inference takes; None once taken, and where there is a problem.
        content_hash, width, height: of the image; the size is the upright one.
        repeats: whether an earlier image of the task has the same bytes, whose result it shares.
        problem: why there is no result.
        result: what inference gave.
        seconds: spent on the image, by stage.
    """

    task: Task
    reference: Reference | None
    pixels_or_features: np.ndarray | None = None
    content_hash: str = ""
    width: int = 0
    height: int = 0
    repeats: bool = False
    problem: Problem | None = None
    result: object = None
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)


class ReadTasks(beam.DoFn):
    """The images of a task (given by its URI) as `Item`s, in the task's order.

    Threads read and decode ahead while the stage's later steps work on what was yielded: the
    interpreter lock is free during both. The look-ahead is bounded, and so is the memory.

    Args:
        job: the job.
        image_size: side in pixels that images are resized to.
        look_ahead: images read ahead of the one that is yielded.
    """

    def __init__(self, job: Job, image_size: int, look_ahead: int = 64) -> None:
        self._job = job
        self._image_size = image_size
        self._look_ahead = look_ahead
        self._read = Metrics.counter("captioner", "images_read")
        self._unreadable = Metrics.counter("captioner", "images_unreadable")

    def setup(self) -> None:
        self._threads = ThreadPoolExecutor(max(4, 2 * (os.cpu_count() or 1)), "read")

    def teardown(self) -> None:
        self._threads.shutdown(cancel_futures=True)

    def process(self, uri: str) -> Iterator[Item]:
        task = Task.read(uri)
        if storage.exists(storage.join(self._job.output, shard_file(task, self._job))):
            yield Item(task, None)
            return
        seen: set[str] = set()
        for item in read_features(task) if task.source else self._decoded(task):
            item.repeats = not item.problem and item.content_hash in seen
            seen.add(item.content_hash)
            self._read.inc()
            self._unreadable.inc(item.problem is not None)
            yield item

    def _decoded(self, task: Task) -> Iterator[Item]:
        jobs = ((read_image, task, reference, self._image_size) for reference in task.references)
        return ahead(self._threads, jobs, self._look_ahead)


def shard_file(task: Task, job: Job) -> str:
    """A task's data file, relative to the output directory."""
    return f"shards/{task.id}{job.extension}"


def ahead(threads: ThreadPoolExecutor, jobs: Iterator[tuple], look_ahead: int) -> Iterator:
    """The results of calls, each a tuple of function and arguments, in order.

    At most `look_ahead` of them are under way or waiting to be taken.
    """
    waiting: collections.deque[Future] = collections.deque()
    for function, *arguments in jobs:
        waiting.append(threads.submit(function, *arguments))
        if len(waiting) >= look_ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def read_image(task: Task, reference: Reference, image_size: int) -> Item:
    """An image's pixels, or the problem with it."""
    started = time.perf_counter()
    item = Item(task, reference)
    try:
        data = storage.read_bytes(reference.uri, images.LIMITS.bytes + 1)
        item.content_hash = images.content_hash(data)
        decoded = images.decode(data, image_size)
        item.pixels_or_features = decoded.pixels
        item.width, item.height = decoded.width, decoded.height
    except ImageError as error:
        item.problem = Problem("decode", error.reason, str(error), error.reason.permanent)
    except FileNotFoundError as error:
        item.problem = Problem("read", Reason.MISSING, str(error), Reason.MISSING.permanent)
    except Exception as error:  # a store's own errors are many; none may stop the other images
        message = f"{type(error).__name__}: {error}"
        item.problem = Problem("read", Reason.UNREADABLE, message, Reason.UNREADABLE.permanent)
    item.seconds["read"] = time.perf_counter() - started
    return item


def read_features(task: Task) -> Iterator[Item]:
    """The task's images from the feature shard they are in, in its order."""
    wanted = {reference.id: reference for reference in task.references}
    message = "the image is not in it"
    try:
        for record in records.read_shard(task.source):
            if reference := wanted.pop(record.id, None):
                features = record.features
                known = (record.content_hash, record.width, record.height)
                yield Item(task, reference, features, *known)
    except Exception as error:  # TensorFlow's, of a shard that is gone, cut short or altered
        message = f"{type(error).__name__}: {error}"
    for reference in wanted.values():
        problem = Problem("read", Reason.UNREADABLE, f"{task.source}: {message}", permanent=False)
        yield Item(task, reference, problem=problem)
