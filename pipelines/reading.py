"""EXECUTE, first step: a task's images, read and decoded ahead of inference."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import apache_beam as beam
from apache_beam.metrics import Metrics

from captioner import archives, images, isolation, records, storage, videos
from captioner.images import DecodedImage, Reason
from captioner.tasks import Reference, Task
from captioner.threads import Clock, Stuck, Threads, ahead, unless_stuck
from pipelines.frames import FRAMES, film_of, read_frames
from pipelines.items import Item, Problem, given, remember, to_item
from pipelines.job import Job

# Seconds. No network's input is so small that a picture for it is decoded in less.
QUICK = 0.0004


class ReadTasks(beam.DoFn):
    """The images of a task (given by its URI) as `Item`s, in the order they are read in.

    Threads read and decode ahead while the stage's later steps work on what was yielded: the
    interpreter lock is free during both. The look-ahead is bounded, and so is the memory. Images
    that take next to no time are read many in one call instead, and nothing meanwhile: threads
    would do little but hand each other the lock, which costs more than such an image.

    An image that is heavy by its headers is decoded by a child process. So are all images of a
    task that an earlier attempt began and didn't finish, or of which one is a suspect, and from an
    image that takes too long in its thread on, the rest of its task.

    Args:
        job: the job.
        image_size: side in pixels that images are resized to.
        look_ahead: images read ahead of the one that is yielded.
        seconds: that decoding may take in a thread, not counting the reading.
    """

    def __init__(
        self,
        job: Job,
        image_size: int,
        look_ahead: int = 64,
        seconds: float = images.LIMITS.seconds,
    ) -> None:
        self._job = job
        self._image_size = image_size
        self._look_ahead = look_ahead
        self._seconds = seconds
        self._together = False
        self._read = Metrics.counter("captioner", "images_read")
        self._unreadable = Metrics.counter("captioner", "images_unreadable")

    def setup(self) -> None:
        self._threads = Threads(max(4, 2 * (os.cpu_count() or 1)))

    def teardown(self) -> None:
        self._threads.leave()
        isolation.shared().close()

    def process(self, uri: str) -> Iterator[Item]:
        task = Task.read(uri)
        if storage.exists(storage.join(self._job.output, shard_file(task, self._job))):
            yield Item(task, None)
            return
        seen: dict[str, bool] = {}
        features = self._job.from_features
        for item in read_features(task) if features else self._decoded(task, uri):
            item.repeats = not item.problem and item.content_hash in seen
            if not (item.problem or item.repeats):
                remember(seen, item, True, self._job.options.shard_size)
            self._read.inc()
            self._unreadable.inc(item.problem is not None)
            yield item

    def _decoded(self, task: Task, uri: str) -> Iterator[Item]:
        isolated, done = is_suspect(task, uri, self._job.output), 0
        references = sorted(task.references, key=reading_order)
        while done < len(references):
            try:
                for item in self._read_ahead(task, references[done:], isolated):
                    yield item
                    done += 1
            except Stuck:  # nothing ends that thread; it is left alone with what it is at
                self._threads.leave()
                self.setup()
                isolated = True

    def _read_ahead(
        self, task: Task, references: list[Reference], isolated: bool
    ) -> Iterator[Item]:
        # In a compressed archive whole files wait, each of up to the limit, not pixels.
        streamed = any(map(streamed_source, references))
        look_ahead = min(8, self._look_ahead) if streamed else self._look_ahead
        groups = self._groups(task, references, isolated, look_ahead)
        for items in ahead(self._threads, groups, look_ahead, unless_stuck, images_of):
            self._together = are_quick(items)
            yield from items

    def _groups(
        self, task: Task, references: list[Reference], isolated: bool, most: int
    ) -> Iterator[tuple]:
        """Calls that read all images: one each, or `most` at once as long as they are quick."""
        for film, some in itertools.groupby(references, film_of):
            if film and not isolated:
                while frames := list(itertools.islice(some, FRAMES)):
                    yield read_frames, task, frames, self._image_size, Clock(self._seconds)
                continue
            images = readings(some)
            while group := list(itertools.islice(images, most if self._together else 1)):
                yield read_images, task, group, self._image_size, isolated, Clock(self._seconds)


def is_suspect(task: Task, uri: str, output: str) -> bool:
    """Whether a task may have killed the process that did it, as it left a mark and no shard.

    Leaves the mark: `attempts/TASK`, which holds the task's URI and is never deleted.
    """
    mark = storage.join(output, "attempts", task.id)
    begun = not storage.create(mark, uri.encode())
    return begun or any(reference.suspect for reference in task.references)


def shard_file(task: Task, job: Job) -> str:
    """A task's data file, relative to the output directory."""
    return f"shards/{task.id}.{job.extension}"


def images_of(task: Task, group: Sequence, *_: object) -> int:
    """How many images a call of `read_images` or `read_frames` with these arguments reads."""
    return len(group)


def are_quick(items: Sequence[Item]) -> bool:
    """Whether images take less time to read than it takes to have a thread do it."""
    return sum(item.seconds["read"] for item in items) < QUICK * len(items)


def read_images(
    task: Task,
    group: Sequence[tuple[Reference, Callable[[], bytes]]],
    image_size: int,
    isolated: bool,
    clock: Clock,
) -> list[Item]:
    """`read_image` of each of a group, as `readings` has them."""
    return [
        read_image(task, reference, image_size, isolated, read, clock) for reference, read in group
    ]


def read_image(
    task: Task,
    reference: Reference,
    image_size: int,
    isolated: bool = False,
    read: Callable[[], bytes] | None = None,
    clock: Clock | None = None,
) -> Item:
    """An image's pixels, or the problem with it.

    Args:
        isolated: whether to decode it in a child process, however light it is.
        read: gives its bytes; `read_reference` by default. A film's frame is decoded in a child.
        clock: runs while it is decoded here.
    """

    def decoded(item: Item) -> DecodedImage:
        if film := film_of(reference):
            seconds = videos.seconds_of(reference.uri, film)
            return isolation.shared().decode_frame(film, seconds, image_size)
        data = read() if read else read_reference(reference)
        item.content_hash = images.content_hash(data)
        return decode(data, image_size, isolated, clock or Clock(images.LIMITS.seconds))

    return to_item(task, reference, decoded)


def read_reference(reference: Reference) -> bytes:
    """The image's bytes, or as many of them as show that it is too large."""
    limit = images.LIMITS.bytes + 1
    if videos.is_video(reference.source):
        videos.check(reference.uri, reference.source)
    if archives.is_archive(reference.source):
        return archives.read(reference.uri, reference.source, limit)
    return storage.read_bytes(reference.uri, limit)


def streamed_source(reference: Reference) -> str:
    """The archive that an image is in, if that is read from front to back; else empty."""
    source = reference.source
    is_streamed = archives.is_archive(source) and archives.is_streamed(reference.uri, source)
    return source if is_streamed else ""


def reading_order(reference: Reference) -> tuple[str, float]:
    """Puts images in the order in which they come as archives and films are read front to back."""
    if film := film_of(reference):
        return film, videos.seconds_of(reference.uri, film)
    source = streamed_source(reference)
    return source, archives.position(reference.uri, source) if source else 0


def readings(
    references: Iterable[Reference],
) -> Iterator[tuple[Reference, Callable[[], bytes]]]:
    """Images, in `reading_order`, each with the call that gives its bytes.

    Those in a compressed tar are read in passing, right here.
    """
    for source, some in itertools.groupby(references, streamed_source):
        if not source:
            yield from (
                (reference, functools.partial(read_reference, reference)) for reference in some
            )
            continue
        inside: dict[str, list[Reference]] = {}
        for reference in some:  # a list may name an archive twice
            inside.setdefault(reference.uri, []).append(reference)
        for uri, found in archives.stream(source, inside, images.LIMITS.bytes + 1):
            yield from ((reference, functools.partial(given, found)) for reference in inside[uri])


def decode(data: bytes, image_size: int, isolated: bool, clock: Clock) -> DecodedImage:
    """Decode here what is light, and in the process's one child what isn't."""
    if not isolated:
        try:
            with clock:
                return images.decode(data, image_size, images.LIGHT)
        except images.TooHeavy:
            pass
    return isolation.shared().decode(data, image_size)


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
