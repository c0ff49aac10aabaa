"""What all parts of a job need to know."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from captioner import storage
from captioner.errors import UserError

_ASKED = "asked.json"


@dataclasses.dataclass(frozen=True)
class MaxFailures:
    """How many of the images that a run tries may fail.

    Args:
        number: of images, or per cent of them.
        is_percent: which of both.
    """

    number: float
    is_percent: bool

    @classmethod
    def parse(cls, text: str) -> MaxFailures:
        """From ``12`` or ``5%``.

        Raises:
            ValueError: it is neither.
        """
        number = float(text.removesuffix("%")) if text.endswith("%") else int(text)
        if not 0 <= number <= (100 if text.endswith("%") else math.inf):
            raise ValueError(text)
        return cls(number, text.endswith("%"))

    def __str__(self) -> str:
        return f"{self.number:g}{'%' if self.is_percent else ''}"

    def are_exceeded(self, failed: int, tried: int) -> bool:
        """Whether so many failures of so many images are too many."""
        return failed > (self.number * tried / 100 if self.is_percent else self.number)


@dataclasses.dataclass(frozen=True)
class JobOptions:
    """What a user may choose, whichever the job.

    Args:
        batch_size: images the network takes at once.
        engine: what runs the encoder, of `encoders.engines.ENGINES`.
        shard_size: images a shard at most, about; a small job has smaller ones.
        force: whether what is done is done again.
        dedupe: "content" reads images once more at first, so that those with the same bytes come
            into one shard, where they go through the network once; None leaves it to checksums
            that the store has.
        max_failures: how many of the images that are tried may fail.
        every: seconds from one frame of a film to the next that is an image, see `videos.planned`.
    """

    batch_size: int = 32
    engine: str = "auto"
    shard_size: int = 256
    force: bool = False
    dedupe: str | None = None
    max_failures: MaxFailures | None = None
    every: float | None = None


@dataclasses.dataclass(frozen=True)
class Job:
    """What all parts of a job need to know.

    Args:
        input: a directory or prefix of images, a list of them, an archive, ``failures/`` of an
            output, or a directory of feature shards.
        output: where the shards go.
        run: this run's id; later runs sort behind earlier ones.
        settings: fingerprint of what decides the results.
        extension: what the names of the data files end with, after a dot.
        options: what the user chose.
        from_features: whether `input` is a directory of feature shards.
        split: of these, only the images of this split; of all where it is empty.
        is_partial: whether the input is a part of what the output holds, so that what it lacks is
            not absent.
        captions, captions_format, splits: a captioned collection, see `corpora.read`; or None.
    """

    input: str
    output: str
    run: str
    settings: str
    extension: str
    options: JobOptions = JobOptions()
    from_features: bool = False
    split: str = ""
    is_partial: bool = False
    captions: str | None = None
    captions_format: str | None = None
    splits: str | None = None

    @property
    def plan(self) -> str:
        """Directory of the run's plan."""
        return storage.join(self.output, "plans", self.run)

    @property
    def manifest(self) -> str:
        """The run's manifest, once it is at its end."""
        return storage.join(self.output, "runs", f"{self.run}.json")

    def begin(self, asked: dict[str, Any]) -> None:
        """Write down what the run was asked, before anything else of it."""
        text = json.dumps(asked, indent=1) + "\n"
        storage.create(storage.join(self.plan, _ASKED), text.encode())

    def check_output(self) -> None:
        """See that the output directory is the one that the run began in.

        Raises:
            UserError: it is not, and what is written now would lie apart from what was before.
        """
        if not storage.exists(storage.join(self.plan, _ASKED)):
            raise UserError(
                f"{self.output}: the output directory has vanished while the job ran; bring it "
                "back if you can, and run the same command again"
            )
