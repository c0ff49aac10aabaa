"""A run's output as one page of HTML, to be looked at in a browser without a server.

What is shown of an output is data: captions, names and messages are never markup (the page is made
as a tree of elements, which escapes them), no path is made from them, and the page asks for nothing
and runs nothing, which its content security policy has the browser see to.
"""

from __future__ import annotations

from captioner import storage
from captioner.reporting.page import page
from captioner.reporting.survey import survey
from captioner.reporting.thumbnails import thumbnails

__all__ = ["report"]


def report(output: str, file: str) -> None:
    """Write the report of a caption output to the URI `file`, replacing what is there.

    It takes one pass over the captions, and reads as many images as its gallery shows.

    Raises:
        UserError: `output` is no caption output, or not as it was written.
    """
    found = survey(output)
    pictures = thumbnails([*found.sample, *found.least_sure])
    storage.replace(file, page(found, pictures))
