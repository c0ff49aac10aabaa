"""A Spark cluster that loses a worker process and an executor in the midst of a job."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from captioner import shards
from tests.conftest import wait_until
from tests.engines.conftest import LOCAL, Material, captions_of, failures, manifest
from tests.engines.servers import Engine

pytestmark = [pytest.mark.engines, pytest.mark.slow]


def test_a_killed_worker_and_a_killed_executor_cost_nothing(
    standalone: Engine, material: Material, output: Path
) -> None:
    flags = ("--shard-size", 2)
    local = output.with_name("local")
    material.caption(LOCAL, local, *flags)
    killer = threading.Thread(target=_kill, args=(output,), daemon=True)
    killer.start()
    material.caption(standalone, output, *flags)
    killer.join(timeout=0)
    assert not killer.is_alive(), "the job ended before both were killed"
    assert _texts(output) == _texts(local)
    assert failures(output) == failures(local)
    assert manifest(output)["images"] == manifest(local)["images"]
    # The two that were killed have each left a shard, and others did the rest.
    assert len(manifest(output)["models"]) > 2
    assert "all is well" in LOCAL.run("verify", output)


def _texts(output: Path) -> dict[str, str]:
    return {id: text for id, (text, _) in captions_of(output).items()}


def _kill(output: Path) -> None:
    """First a worker process, whose executor lives on without it; later a whole executor."""
    wait_until(lambda: next(_workers(output), None) is not None)
    os.kill(next(_workers(output)), signal.SIGKILL)
    wait_until(lambda: len(list(output.glob("shards/*"))) > 12)
    executor = _parent(next(_workers(output)))
    assert "CoarseGrainedExecutorBackend" in Path(f"/proc/{executor}/cmdline").read_text()
    os.kill(executor, signal.SIGKILL)


def _workers(output: Path) -> Iterator[int]:
    """The living processes that have made a shard, by what the shards say of themselves."""
    for index in shards.finished(str(output)):
        for model in shards.read_index(index)[0].models:
            process = int(model.split("/")[1])
            if Path(f"/proc/{process}").exists():
                yield process


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
