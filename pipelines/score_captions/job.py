"""What the scoring job is asked."""

from __future__ import annotations

import dataclasses

from captioner import captions, storage
from captioner.errors import UserError


@dataclasses.dataclass(frozen=True)
class ScoreJob:
    """What is held against what.

    Args:
        captions: the caption directory.
        output: the file that the scores go to.
        references, references_format, splits: the captioned collection, see `corpora.read`.
        split: what to score, or `evaluation.ALL`; by default see `choose_split`.
    """

    captions: str
    output: str
    references: str
    references_format: str | None = None
    splits: str | None = None
    split: str | None = None

    def check(self) -> None:
        """See that there is something to read.

        Raises:
            UserError: there isn't.
        """
        captions.check(self.captions)
        if not (storage.exists(self.references) or storage.is_directory(self.references)):
            raise UserError(f"{self.references}: no such file")
