"""Reading ahead, inference that halves, and finishing shards: each by itself."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.ml.inference.base import RunInference
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from captioner.tasks import Reference, Task
from captioner.threads import ahead
from pipelines import inference
from pipelines.items import Item, Problem
from pipelines.reading import ReadTasks
from pipelines.writing import WriteShards
from tests.conftest import LoadMeanColour, to_line


@given(st.integers(0, 40), st.integers(1, 10))
def test_reading_ahead_keeps_the_order_and_its_bound(count: int, look_ahead: int) -> None:
    started = []

    def work(number: int) -> int:
        started.append(number)
        return number

    with ThreadPoolExecutor(4) as threads:
        found = []
        for result in ahead(threads, ((work, n) for n in range(count)), look_ahead):
            found.append(result)
            assert len(started) <= len(found) + look_ahead
    assert found == list(range(count))


def test_decoding_goes_on_while_what_was_yielded_is_worked_on() -> None:
    reached = threading.Event()

    def work(number: int) -> None:
        if number == 10:
            reached.set()

    with ThreadPoolExecutor(4) as threads:
        results = ahead(threads, ((work, n) for n in range(40)), look_ahead=16)
        next(results)
        assert reached.wait(timeout=60), "nothing is read while the first result is worked on"


@given(st.lists(st.integers(0, 9), min_size=1, max_size=32), st.integers(0, 9))
def test_halving_costs_the_culprits_alone(values: list[int], culprit: int) -> None:
    sizes = []

    def infer(batch: np.ndarray) -> np.ndarray:
        sizes.append(len(batch))
        if (batch == culprit).any():
            raise ValueError("culprit")
        return batch * 10

    found = inference.infer_halving(infer, np.array(values), 32)
    for value, result in zip(values, found, strict=True):
        if value == culprit:
            assert isinstance(result, ValueError)
        else:
            assert result == 10 * value
    assert set(sizes) <= {32, 16, 8, 4, 2, 1}


def test_a_batch_too_large_for_the_memory_is_halved_once_and_for_all() -> None:
    sizes = []

    class ResourceExhaustedError(Exception):
        """As TensorFlow calls its own."""

    class Small:
        def infer(self, batch: np.ndarray) -> np.ndarray:
            sizes.append(len(batch))
            if len(batch) > 4:
                raise ResourceExhaustedError("OOM when allocating a tensor")
            return batch.mean(axis=(1, 2))

    handler = inference.HalvingHandler(Small, 16)
    model = handler.load_model()
    task = _task(48)
    for start in (0, 16, 32):
        items = [_item(task, n) for n in range(start, start + 16)]
        assert [item.result[0] for item in handler.run_inference(items, model)] == [
            *range(start, start + 16)
        ]
    assert sizes.count(16) == 1 and sizes.count(8) <= 2 and set(sizes[-8:]) == {4}


def _item(task: Task, number: int, **values) -> Item:
    pixels = np.full((8, 8, 3), number, np.uint8)
    return Item(task, task.references[number], pixels, f"hash {number}", 12, 8, **values)


def _task(count: int) -> Task:
    return Task("task", tuple(Reference(f"{n}", f"/in/{n}", "1:1") for n in range(count)))


def test_inference_passes_problems_by(tmp_path) -> None:
    task = _task(3)
    broken = Item(task, task.references[1], problem=Problem("read", "missing", "", False))
    items = [_item(task, 0), broken, _item(task, 2)]
    handler = inference.HalvingHandler(LoadMeanColour(str(tmp_path / "log")), 2)
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        found = pipeline | beam.Create(items, reshuffle=False) | RunInference(handler)
        colours = found | beam.Map(lambda item: item.result if item.problem else item.result[0])
        assert_that(colours, equal_to([0.0, None, 2.0]))


def test_a_shard_is_written_when_the_last_of_its_task_has_come(stub) -> None:
    task = _task(3)
    items = [_item(task, n, result=np.full(3, n)) for n in range(3)]
    job = stub.job()
    job.begin({})
    write = WriteShards(job, stub.work().open_spool, to_line)
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        lines = pipeline | beam.Create(items, reshuffle=False) | beam.ParDo(write)
        assert_that(lines | beam.combiners.Count.Globally(), equal_to([1]))
    assert stub.results() == {str(n): [n] * 3 for n in range(3)}


def test_a_task_cut_short_is_an_error_not_a_shard(stub) -> None:
    items = [_item(_task(3), 0, result=np.zeros(3))]
    write = WriteShards(stub.job(), stub.work().open_spool, to_line)
    with pytest.raises(Exception, match="without all their images"):
        with beam.Pipeline(runner=FnApiRunner()) as pipeline:
            _ = pipeline | beam.Create(items, reshuffle=False) | beam.ParDo(write)
    assert not stub.output.exists()


def test_a_task_that_is_finished_is_not_read_again(stub, picture) -> None:
    path = picture(stub.input / "a.png")
    job = stub.job()
    job.begin({})
    task = Task.of([Reference("a.png", str(path), "1:1")], job.settings)
    uri = task.publish(job.plan, "images-00000")
    for _ in range(2):
        with beam.Pipeline(runner=FnApiRunner()) as pipeline:
            made = (
                pipeline
                | beam.Create([uri], reshuffle=False)
                | beam.ParDo(ReadTasks(job, 8))
                | RunInference(stub.work().handler)
                | beam.ParDo(WriteShards(job, stub.work().open_spool, to_line))
            )
            assert_that(made | beam.combiners.Count.Globally(), equal_to([1]))
        path.unlink(missing_ok=True)
    assert set(stub.results()) == {"a.png"}
