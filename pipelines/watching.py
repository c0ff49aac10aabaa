"""A progress bar for a running job, read off its output: so it works on every engine."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from captioner import storage
from pipelines.job import Job


@contextlib.contextmanager
def watching(job: Job) -> Iterator[None]:
    """Show the job's progress for the length of a `with` block, where there is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(job, console, ended), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _watch(job: Job, console: Console, ended: threading.Event) -> None:
    before = _finished(job)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("images, {task.fields[rate]:.1f} a second,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("listing", total=None, rate=0.0)
        started = time.monotonic()
        pause = 1.0
        while not ended.wait(pause):
            asked = time.monotonic()
            total, shards = _planned(job)
            # A listing may take long; it must never be what the job's store is busy with.
            pause = max(1.0, 10 * (time.monotonic() - asked))
            if shards:
                share = min(1.0, (_finished(job) - before) / shards)
                done = int(share * total)
                rate = done / (time.monotonic() - started)
                progress.update(bar, description="", total=total, completed=done, rate=rate)


def _planned(job: Job) -> tuple[int, int]:
    """Images and shards that the run will make; zeros until that is known."""
    with contextlib.suppress(OSError):
        planned = json.loads(storage.read_bytes(storage.join(job.plan, "counts.json")))
        return planned["images"], sum(planned["shards"].values())
    return 0, 0


def _finished(job: Job) -> int:
    with contextlib.suppress(OSError):
        return sum(1 for _ in storage.walk(storage.join(job.output, "shards")))
    return 0
