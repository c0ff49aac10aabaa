"""METEOR, by its own program, which the COCO evaluation code brings along and which needs Java."""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
from collections.abc import Sequence
from importlib import util
from typing import Any


def meteor(
    candidates: Sequence[list[str]], references: Sequence[Sequence[list[str]]]
) -> float | None:
    """METEOR of a whole corpus, from 0 to 1, with the stems, synonyms and paraphrases of English.

    Denkowski and Lavie 2014, "Meteor Universal: Language Specific Translation Evaluation for Any
    Target Language", version 1.5 as the COCO evaluation runs it.

    Args:
        candidates: the words of each image's caption.
        references: for each image the words of at least one reference caption.

    Returns:
        The score; None where Java or pycocoevalcap (the extra ``[meteor]``) is missing, where Java
        doesn't run, and where there is nothing to score.
    """
    java = shutil.which("java")
    if not candidates or not java or not util.find_spec("pycocoevalcap"):
        return None
    numbered = range(len(candidates))
    program = _program(java)
    try:
        score, _ = program.compute_score(
            {number: [" ".join(words) for words in references[number]] for number in numbered},
            {number: [" ".join(candidates[number])] for number in numbered},
        )
    except (OSError, ValueError):  # it ended without an answer, as Java without memory does
        _program.cache_clear()
        # Deleting it would wait for its lock, and complain about its pipe.
        program.lock.release()
        with contextlib.suppress(OSError):
            program.meteor_p.stdin.close()
        return None
    return score


@functools.cache
def _program(java: str) -> Any:
    """METEOR, running by the Java on PATH: what it knows of English takes it seconds to read."""
    from pycocoevalcap.meteor.meteor import Meteor

    atexit.register(_program.cache_clear)
    return Meteor()
