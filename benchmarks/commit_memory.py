"""What a finished shard costs the one machine that commits a run, and the one that lists it again.

    python -m benchmarks.commit_memory 10000 100000 --directory /tmp/commit

The shards are files of nothing with a name and a summary as they have. Each number of them is
committed, and then listed as the next run does, in processes of their own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.flat_cost import peak_memory


def summary_line(number: int, run: str) -> str:
    """The summary of a shard of captions."""
    from captioner.shards import Summary

    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    task = f"images-{sha256[:16]}"
    return Summary(
        task=task,
        file=f"shards/{task}.jsonl",
        run=run,
        settings=sha256[:16],
        split="",
        done=256,
        seconds={"read": 1.234, "infer": 23.456},
        size=123456,
        sha256=sha256,
        outcomes_sha256=sha256[::-1],
    ).to_line()


def make_output(output: Path, count: int, run: str) -> None:
    """Files with the names of `count` finished shards and of their indexes."""
    for directory in ("shards", "index", "plans"):
        (output / directory).mkdir(parents=True)
    for number in range(count):
        summary = json.loads(summary_line(number, run))
        (output / summary["file"]).touch()
        (output / "index" / f"{summary['task']}-{summary['sha256'][:16]}.jsonl").touch()


def commit(output: Path, count: int, run: str) -> None:
    """Collect the summaries and publish the manifest, as the job's last step does."""
    from pipelines.committing import Collect, publish
    from pipelines.job import Job

    job = Job("", str(output), run, "", "jsonl")
    job.begin({})
    collect = Collect()
    collected = collect.create_accumulator()
    for number in range(count):
        collected = collect.add_input(collected, ("made", summary_line(number, run)))
    publish(collect.extract_output(collected), job, {}, None)


def list_again(output: Path) -> None:
    """Find the finished shards, as the first step of the next run does."""
    from captioner import shards

    for _ in shards.finished(str(output)):
        pass


def run_once(step: str, output: Path, count: int, run: str) -> dict[str, float]:
    """One step in this process: its seconds, and the memory it took in bytes."""
    import pipelines.committing  # noqa: F401  what it takes to begin with is not the step's

    before, started = peak_memory(), time.perf_counter()
    commit(output, count, run) if step == "commit" else list_again(output)
    return {
        "seconds": time.perf_counter() - started,
        "bytes": 1e6 * (peak_memory() - before),
    }


def measure(step: str, output: Path, count: int, run: str) -> dict[str, float]:
    """`run_once` in a process of its own."""
    words = ["--once", step, str(output), str(count), run]
    command = [sys.executable, "-m", "benchmarks.commit_memory", *words]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(ended.stdout)


def row(count: int, root: Path) -> str:
    """A line of the table."""
    from captioner import shards

    output, run = root / str(count), shards.new_run()
    shutil.rmtree(output, ignore_errors=True)
    make_output(output, count, run)
    committed, listed = (measure(step, output, count, run) for step in ("commit", "list"))
    manifest = (output / "runs" / f"{run}.json").stat().st_size
    cells = [f"{count:,}", f"{committed['bytes'] / count / 1e3:.1f} kB"]
    cells += [f"{1e6 * committed['seconds'] / count:.0f} µs", f"{manifest / count:.0f} B"]
    cells += [f"{listed['bytes'] / count / 1e3:.2f} kB"]
    cells += [f"{1e6 * listed['seconds'] / count:.0f} µs"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("counts", nargs="*", type=int, default=[10_000, 100_000])
    parser.add_argument("--directory", type=Path, default=Path("/tmp/commit"))
    parser.add_argument("--once", nargs=4, help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.once:
        step, output, count, run = parsed.once
        print(json.dumps(run_once(step, Path(output), int(count), run)))
        return
    print("| shards | commit: memory | time | manifest | listed again: memory | time |")
    print("| --- | --- | --- | --- | --- | --- |")
    for count in sorted(parsed.counts):
        print(row(count, parsed.directory), flush=True)


if __name__ == "__main__":
    main()
