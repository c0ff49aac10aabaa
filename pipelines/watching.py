"""How far a running job has got, read off its output: so it works on every engine."""

from __future__ import annotations

import contextlib
import datetime
import json
import threading
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from captioner import storage
from captioner.errors import UserError
from pipelines.job import Job

# Seconds from one look to the next: for a terminal's bar, and for a log's lines.
_SOON, _LATER = 1.0, 60.0


@contextlib.contextmanager
def watching(job: Job, later: float = _LATER) -> Iterator[None]:
    """Show how far the job has got for the length of a `with` block.

    On a terminal that is a bar; elsewhere a line of standard output now and then.

    Args:
        later: seconds from one such line to the next.
    """
    console = Console(stderr=True)
    show, pause = (_bar, _SOON) if console.is_terminal else (_lines, later)
    ended = threading.Event()
    looks = _looks(job, ended, pause)
    watcher = threading.Thread(target=show, args=(looks, console), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join(5.0)  # not for as long as a look at a store that is away may take


def _bar(looks: Iterator[tuple[int, int, str]], console: Console) -> None:
    columns = (TextColumn("{task.description}"), BarColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("listing", total=None)
        for done, total, told in looks:
            progress.update(bar, description=told, total=total, completed=done)


def _lines(looks: Iterator[tuple[int, int, str]], _: Console) -> None:
    for *_, told in looks:
        print(told, flush=True)


def _looks(job: Job, ended: threading.Event, least: float) -> Iterator[tuple[int, int, str]]:
    """How many of how many images are done, and the same in words; from when the plan is there.

    Args:
        ended: ends it.
        least: seconds from one look to the next.
    """
    before, first, pause = _finished(job), None, least
    while not ended.wait(pause):
        asked = time.monotonic()
        total, shards = _planned(job)
        if shards:
            done = int(min(1.0, (_finished(job) - before) / shards) * total)
            first = first or (done, asked)
            yield done, total, _told(done, total, done - first[0], asked - first[1])
        # A listing may take long; it must never be what the job's store is busy with.
        pause = max(least, 10 * (time.monotonic() - asked))


def _told(done: int, total: int, since: int, seconds: float) -> str:
    """In words; the pace is that of the images done `since` the first look, `seconds` ago."""
    images = f"{done:,} of {total:,} images"
    if not since:
        return images
    left = datetime.timedelta(seconds=round((total - done) * seconds / since))
    return f"{images}, {since / seconds:.1f} a second, {left} left"


def _planned(job: Job) -> tuple[int, int]:
    """Images and shards that the run will make; zeros until that is known."""
    with contextlib.suppress(OSError, UserError):
        planned = json.loads(storage.read_bytes(storage.join(job.plan, "counts.json")))
        return planned["images"], sum(planned["shards"].values())
    return 0, 0


def _finished(job: Job) -> int:
    with contextlib.suppress(OSError, UserError):
        return sum(1 for _ in storage.walk(storage.join(job.output, "shards")))
    return 0
