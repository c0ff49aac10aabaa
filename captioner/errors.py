"""The exceptions that are meant for people, each with the exit status it ends the command with."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class UserError(Exception):
    """A mistake the user can mend: shown as one line without a traceback."""

    status = 2


class TooManyFailures(UserError):
    """A job came to its end, and more of its images failed than the user allows."""

    status = 3


class ProblemsFound(UserError):
    """What was looked through has problems, each of which was named: `verify`, `write-back`."""

    status = 4


def guess(word: str, known: Iterable[str]) -> str:
    """What to add to a mistake: which of the `known` words was meant, if one is much like it."""
    like = difflib.get_close_matches(word.split("=")[0], known, n=1, cutoff=0.75)
    return f"; did you mean {like[0]}?" if like else ""


# The last line of a traceback, and what Beam adds to it.
_RAISED = re.compile(
    rf"^{re.escape(__name__)}\.(?P<kind>\w+): (?P<message>.+?)(?: \[while running '.*'\])?$",
    re.MULTILINE,
)


def in_text(text: str) -> UserError | None:
    """The error of ours whose traceback stands in `text`, the last if there are several.

    Engines hand over as text what was raised on another machine.
    """
    found = list(_RAISED.finditer(text))
    if not found:
        return None
    return globals().get(found[-1]["kind"], UserError)(found[-1]["message"])
