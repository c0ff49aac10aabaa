"""What an image costs the job itself, in time and in memory, for few images and for many.

    python -m benchmarks.flat_cost 10000 100000 1000000 --directory /tmp/flat

The images are JPEGs of 8 x 8 pixels, a thousand a directory, each with other bytes; the network
costs nothing, its input is 8 x 8 too. Each number of images is done in a process of its own, and
then once more, when nothing is left to do. Images are kept in the directory for the next time.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 8


class Nothing:
    """A network that costs nothing."""

    def infer(self, batch: np.ndarray) -> list[int]:
        """Zero for each entry."""
        return [0] * len(batch)


def to_line(item: object) -> bytes:
    """An item's record."""
    return (json.dumps({"id": item.reference.id}) + "\n").encode()


def make_images(directory: Path, count: int) -> None:
    """Write `count` tiny images, unless they are there."""
    complete = directory / "complete"
    if complete.exists():
        return
    picture = io.BytesIO()
    Image.new("RGB", (SIZE, SIZE), "grey").save(picture, "JPEG")
    for number in range(count):
        file = directory / f"images/{number // 1000:04d}/{number:07d}.jpg"
        if number % 1000 == 0:
            file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture.getvalue() + number.to_bytes(4, "big"))
    complete.touch()


def run_once(directory: Path) -> dict[str, float]:
    """Run the job in this process.

    Returns:
        Images that were done, seconds, and peak memory in MB before and after.
    """
    from captioner import shards
    from pipelines import jobs
    from pipelines.inference import HalvingHandler
    from pipelines.job import Job
    from pipelines.jobs import Work

    job = Job(
        str(directory / "images"), str(directory / "output"), shards.new_run(), "none", "jsonl"
    )
    work = Work(HalvingHandler(Nothing, 32), SIZE, functools.partial(open, mode="wb"), to_line)
    before, started = peak_memory(), time.perf_counter()
    manifest = jobs.run(job, work, {}, [])
    seconds = time.perf_counter() - started
    done = manifest["images"]["done"]
    return {"done": done, "seconds": seconds, "before": before, "peak": peak_memory()}


def peak_memory() -> float:
    """The most memory this process has had so far, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(kilobytes) * 1024 / 1e6


def measure(directory: Path) -> dict[str, float]:
    """`run_once` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.flat_cost", "--once", str(directory)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout)


def row(count: int, root: Path, smallest: dict[str, float] | None) -> tuple[str, dict[str, float]]:
    """A line of the table, and the first run's figures."""
    directory = root / str(count)
    make_images(directory, count)
    shutil.rmtree(directory / "output", ignore_errors=True)
    first, again = measure(directory), measure(directory)
    assert (first["done"], again["done"]) == (count, 0)
    times = [f"{1e6 * run['seconds'] / count:.0f} µs" for run in (first, again)]
    peaks = [f"{run['peak']:.0f} MB" for run in (first, again)]
    growth = "" if smallest is None else _growth(first, smallest)
    return f"| {count:,} | {times[0]} | {peaks[0]} | {growth} | {times[1]} | {peaks[1]} |", first


def _growth(run: dict[str, float], smallest: dict[str, float]) -> str:
    grown = (run["peak"] - smallest["peak"]) / (run["done"] - smallest["done"])
    return f"{1e3 * grown:.2f} kB"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("counts", nargs="*", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--directory", type=Path, default=Path("/tmp/flat"))
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.once:
        print(json.dumps(run_once(parsed.once)))
        return
    print("| images | time an image | peak memory | growth an id | re-run, an id | its peak |")
    print("| --- | --- | --- | --- | --- | --- |")
    smallest = None
    for count in sorted(parsed.counts):
        line, found = row(count, parsed.directory, smallest)
        smallest = smallest or found
        print(line, flush=True)


if __name__ == "__main__":
    main()
