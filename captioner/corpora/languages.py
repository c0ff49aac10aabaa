"""The names of languages."""

from __future__ import annotations

import re

_TAG = re.compile("[a-z]{1,8}(-[a-z0-9]{1,8})*")


def language_tag(text: str) -> str:
    """A BCP 47 tag as RFC 5646, 2.1.1, writes it, such as "de" or "zh-Hant-TW"; "" as it is.

    Raises:
        ValueError: it is no such tag.
    """
    lower = text.strip().replace("_", "-").lower()
    if lower and not _TAG.fullmatch(lower):
        raise ValueError(f"{text!r} is no language tag (BCP 47), such as de or zh-Hant")
    language, *others = lower.split("-")
    return "-".join([language, *map(_with_case, others)])


def _with_case(subtag: str) -> str:
    """Regions in upper case, scripts with a capital."""
    if subtag.isalpha() and len(subtag) in (2, 4):
        return subtag.upper() if len(subtag) == 2 else subtag.title()
    return subtag
