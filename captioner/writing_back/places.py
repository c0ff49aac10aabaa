"""Where captions may be written: nowhere but below the inputs of an output's own runs."""

from __future__ import annotations

import contextlib
import json
import os

from captioner import storage
from captioner.writing_back.refused import Refused


class Places:
    """Directories and prefixes that images may be below."""

    def __init__(self, roots: set[str]) -> None:
        self._roots = {storage.join(_real(root), "") for root in roots}

    @classmethod
    def of(cls, output: str, below: str | None) -> Places:
        """What the runs of an output were given, and what the user says.

        A list of images, which is a file, has nothing below it.
        """
        roots = {below} if below else set()
        plans = storage.join(output, "plans")
        for plan in storage.level(plans) if storage.is_directory(plans) else ():
            if isinstance(plan, str):
                with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
                    asked = storage.read_bytes(storage.join(plan, "asked.json"))
                    roots.add(json.loads(asked)["input"])
        return cls(roots)

    def check(self, uri: str) -> None:
        """See that an image is below one of them, whatever links its directory is behind.

        Raises:
            Refused: it isn't.
        """
        path = storage.local_path(uri)
        if path is not None:  # decoded first: what isn't two directories in a URI may be two here
            uri = _resolved(path)
        if not any(uri.startswith(root) for root in self._roots):
            raise Refused(f"{uri} isn't below what a run was given; --below says what else is")


def _resolved(path: str) -> str:
    directory, name = os.path.split(path)
    try:
        return os.path.join(os.path.realpath(directory), name)
    except ValueError as error:
        raise Refused(f"no file can be called {path!r}: {error}") from error


def _real(uri: str) -> str:
    path = storage.local_path(uri)
    return uri if path is None else os.path.realpath(path)
