"""Checks before anything is spent: what can be known before the first image is known then."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Iterator

from captioner import corpora, listing, records, shards, storage, videos
from captioner.corpora import CorpusReport
from captioner.errors import UserError
from captioner.images import Reason
from captioner.listing import failed
from captioner.tasks import Reference, Task
from pipelines.job import Job
from pipelines.reading import read_image, reading_order, readings

# Images that are tried before a job starts, of how many, and the side that they are decoded to.
SAMPLE = 64
_LOOKED_AT = 256
_SAMPLE_SIZE = 64

_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp")
# When all of a sample end so, the input is the wrong one, or not to be read with these credentials;
# or it has no images. Broken ones are what a job is to find.
_UNREADABLE = {Reason.MISSING, Reason.UNREADABLE}
_UNLIKE = {Reason.NOT_AN_IMAGE, Reason.CORRUPT}


def check_sample(source: str, output: str) -> None:
    """Try some images of an input, unless an earlier run got results from it or failed at it.

    Raises:
        UserError: they can't be read, or none of them is an image or called like one.
    """
    if records.is_dataset(source) or failed.output_of(source):
        return
    if next(storage.walk(storage.join(output, "shards")), None):
        return
    found = _sample(source)
    problems = [
        # Isolated, as no mark tells of an image that ends this process.
        read_image(Task("sample", (one,)), one, _SAMPLE_SIZE, isolated=True, read=read).problem
        for one, read in readings(sorted(found, key=reading_order))
    ]
    reasons = Counter(problem.reason for problem in problems if problem)
    wrong = _UNREADABLE if any(map(_is_called_like_an_image, found)) else {*_UNREADABLE, *_UNLIKE}
    if found and reasons.total() == len(found) and reasons.keys() <= wrong:
        counted = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
        first = next(problem.message for problem in problems if problem)
        message = f"none of {len(found)} files tried is an image ({counted}); the first: {first}"
        raise UserError(f"{source}: {message}")


def _sample(source: str) -> list[Reference]:
    """Some of the first images; those that are called like one, as far as there are any.

    Of a film its first frame alone: later ones cost more and tell no more.
    """
    found = itertools.islice(_references(source), _LOOKED_AT)
    first = [one for one in found if not videos.seconds_of(one.uri, one.source)]
    first.sort(key=_is_called_like_an_image, reverse=True)
    return first[:SAMPLE]


def _is_called_like_an_image(reference: Reference) -> bool:
    return reference.id.lower().endswith(_EXTENSIONS)


def results_of_other_settings(job: Job) -> int:
    """How many results there were when the latest run ended, if its settings were others.

    Their images are done again, but for those that a still earlier run did with the job's settings.
    """
    latest = shards.latest_manifest(job.output)
    with contextlib.suppress(*shards.UNREADABLE):  # `captioner verify` names it
        manifest = json.loads(storage.read_bytes(latest)) if latest else {}
        if manifest and manifest["settings"] != job.settings:
            return manifest["images"]["done"] + sum(manifest["current"].values())
    return 0


def report_captions(
    source: str,
    captions: str,
    captions_format: str | None,
    splits: str | None,
    every: float | None = None,
) -> CorpusReport:
    """How a captioned collection and the images of an input fit together.

    Args:
        every: of films, see `listing.everything`.

    Raises:
        UserError: there are images, and none has a caption.
    """
    ids = list(dict.fromkeys(reference.id for reference in _references(source, every)))
    report = corpora.report(ids, corpora.read(captions, captions_format, splits))
    if ids and not report.images:
        raise UserError(
            f"{captions}: has no caption for any of the {len(ids)} images of {source}; "
            f"ids are paths relative to --input, such as '{ids[0]}'"
        )
    return report


def _references(source: str, every: float | None = None) -> Iterator[Reference]:
    """The images of an input, one after the other, as the plan will list them."""
    for id, (uri, stamp, inside, group) in listing.everything(source, every):
        yield Reference(id, uri, stamp, inside, group)
