"""A run's output as one page of HTML, to be looked at in a browser without a server.

What is shown of an output is data: captions, names and messages are never markup (the page is made
as a tree of elements, which escapes them), no path is made from them, and the page asks for nothing
and runs nothing, which its content security policy has the browser see to.
"""

from __future__ import annotations

from collections.abc import Sequence

from captioner import captions, storage
from captioner.evaluation import Evaluation
from captioner.reporting import comparing
from captioner.reporting.page import page
from captioner.reporting.survey import Survey, survey
from captioner.reporting.thumbnails import thumbnails

__all__ = ["compare", "report"]


def report(output: str, file: str) -> Survey:
    """Write the report of a caption output to the URI `file`, replacing what is there.

    It takes one pass over the captions, and reads as many images as its gallery shows.

    Returns:
        What it tells.

    Raises:
        UserError: `output` is no caption output, or not as it was written.
    """
    found = survey(output)
    shown = [*found.sample, *found.least_sure]
    storage.replace(file, page(found, thumbnails({record.id: record.uri for record in shown})))
    return found


def compare(evaluations: Sequence[tuple[str, Evaluation]], file: str) -> None:
    """Write scores, and the images that say most of them, to the URI `file`, replacing it.

    Args:
        evaluations: caption outputs with their evaluations: one, or two of the same split, whose
            images are then those where they differ most.
        file: where the page goes.
    """
    sections = comparing.sections([evaluation for _, evaluation in evaluations])
    wanted = {image.id for _, _, shown in sections for image in shown}
    records = captions.read(evaluations[0][0])
    uris = {record.id: record.uri for record in records if record.id in wanted}
    storage.replace(file, comparing.page(evaluations, sections, thumbnails(uris)))
