"""How a task's images end: those that share their bytes end alike, and memory stays flat."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from captioner.images import Reason
from captioner.tasks import Reference, Task
from pipelines.items import Item, Problem, remember
from pipelines.writing import TaskWriter


def test_what_failed_in_passing_decides_nothing_of_another_image_of_its_bytes(stub) -> None:
    references = tuple(Reference(f"{name}.jpg", name, "1", "") for name in "abc")
    task = Task.of(references, stub.settings)
    done, failed, again = (Item(task, one, content_hash="same") for one in references)
    done.result, done.model = "a caption", "model"
    failed.problem = Problem("decode", Reason.TIMED_OUT, "it took too long", True)
    again.repeats = True
    job = stub.job()
    job.begin({})
    writer = TaskWriter(job, done, lambda path: open(path, "wb"), lambda item: b"line\n")
    for item in (done, failed, again):
        writer.add(item)
    assert again.result == "a caption" and not again.problem
    summary = writer.publish()
    assert (summary.done, summary.failed) == (2, {"timed_out": 1})


@given(st.lists(st.integers(0, 30).map(str), max_size=200), st.integers(1, 20))
def test_what_is_known_where_images_are_read_is_known_where_they_are_written(
    hashes: list[str], most: int
) -> None:
    read: dict[str, bool] = {}
    written: dict[str, int] = {}
    for number, content_hash in enumerate(hashes):
        item = Item(None, None, content_hash=content_hash, repeats=content_hash in read)
        assert item.repeats == (content_hash in written)
        if not item.repeats:
            remember(read, item, True, most)
            remember(written, item, number, most)
        assert hashes[written[content_hash]] == content_hash
        assert len(written) <= most
