"""Why a caption isn't written."""

from __future__ import annotations


class Refused(Exception):
    """A caption can't be written, or had better not be; the text says why."""
