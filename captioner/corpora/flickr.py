"""Flickr8k's and Flickr30k's captions: ``name.jpg#0<TAB>caption``.

Also Flickr30k as Kaggle has it (``results.csv``): ``name.jpg| 0| caption`` below a heading. It
isn't CSV: captions hold commas and quotes as they are, and one line lacks its second bar.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from captioner.corpora.rows import Row, image_id, mistake

_LINE = re.compile(r"\s*(?P<id>[^\s|][^\t|]*?)(#\d+\t|\|\s*\d+\s*(\||\s))(?P<caption>.*)")
_HEADING = re.compile(r"image_name\s*\|")


def looks_like(line: str) -> bool:
    """Whether a file that begins with `line` is of this format."""
    return bool(_HEADING.match(line) or _LINE.fullmatch(line))


def rows(text: str, uri: str) -> Iterator[Row]:
    """One row a line, in the order of the file.

    Raises:
        UserError: a line that isn't an image's name, a caption's number and a caption.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or (number == 1 and _HEADING.match(line)):
            continue
        found = _LINE.fullmatch(line.rstrip("\r"))
        if not found:
            raise mistake(uri, number, "expected `image.jpg#0`, a tab and a caption")
        yield Row(image_id(found["id"]), (found["caption"].strip(),))
