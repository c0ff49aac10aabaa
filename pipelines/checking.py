"""Checks before anything is spent: what can be known before the first image is known then."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

from captioner import corpora, listing, records, storage
from captioner.corpora import CorpusReport
from captioner.errors import UserError
from captioner.listing import failed, lists
from captioner.tasks import Reference, Task
from pipelines.reading import read_image, reading_order, readings

# Images that are tried before a job starts, and the side in pixels that they are decoded to.
SAMPLE = 64
_SAMPLE_SIZE = 64


def check_paths(source: str, output: str) -> None:
    """Refuse an input that isn't there or is empty, and an output inside the input.

    Raises:
        UserError: with what to do.
    """
    inside = storage.join(output, "").startswith(storage.join(source, ""))
    if inside:
        raise UserError(f"{output}: is inside the input {source}; choose another --output")
    if listed_output := failed.output_of(source):
        _check_failures(source, listed_output)
    elif listing.is_list(source):
        _check_list(source)
    elif not storage.exists(source):
        _check_directory(source)


def _check_directory(source: str) -> None:
    if not storage.is_directory(source):
        raise UserError(f"{source}: no such file or directory; give --input what is there")
    if next(storage.walk(source), None) is None:
        raise UserError(f"{source}: there are no files in this directory")


def _check_list(source: str) -> None:
    """Read the first rows of a list, so that one that isn't a list is known now."""
    rows = itertools.chain.from_iterable(map(lists.read, lists.parts(source)))
    if not list(itertools.islice(rows, SAMPLE)):
        raise UserError(f"{source}: names no images")


def _check_failures(source: str, output: str) -> None:
    if not storage.exists(source) and next(storage.walk(source), None) is None:
        raise UserError(f"{source}: nothing failed in {output}, so there is nothing to try again")


def check_sample(source: str, output: str) -> None:
    """Try the first images of an input, unless an earlier run got results from it or failed at it.

    Raises:
        UserError: none of them can be read.
    """
    if records.is_dataset(source) or failed.output_of(source):
        return
    if next(storage.walk(storage.join(output, "shards")), None):
        return
    found = list(itertools.islice(_references(source), SAMPLE))
    problems = [
        # Isolated, as no mark tells of an image that ends this process.
        read_image(Task("sample", (one,)), one, _SAMPLE_SIZE, isolated=True, read=read).problem
        for one, read in readings(sorted(found, key=reading_order))
    ]
    reasons = Counter(str(problem.reason) for problem in problems if problem)
    if found and reasons.total() == len(found):
        counted = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
        raise UserError(f"{source}: none of the first {len(found)} files is an image ({counted})")


def report_captions(
    source: str, captions: str, captions_format: str | None, splits: str | None
) -> CorpusReport:
    """How a captioned collection and the images of an input fit together.

    Raises:
        UserError: no image has a caption.
    """
    ids = list(dict.fromkeys(reference.id for reference in _references(source)))
    report = corpora.report(ids, corpora.read(captions, captions_format, splits))
    if not report.images:
        raise UserError(
            f"{captions}: has no caption for any of the {len(ids)} images of {source}; "
            f"ids are paths relative to --input, such as '{ids[0]}'"
        )
    return report


def _references(source: str) -> Iterator[Reference]:
    """The images of an input, one after the other, as the plan will list them."""
    for id, (uri, stamp, inside, group) in listing.everything(source):
        yield Reference(id, uri, stamp, inside, group)
