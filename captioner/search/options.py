"""How captions are searched for."""

from __future__ import annotations

import dataclasses

from captioner.errors import UserError


@dataclasses.dataclass(frozen=True)
class SearchOptions:
    """How captions are searched for, and how many are kept.

    Args:
        width: hypotheses of an image: see `beam_search`. If `sample`, how many are drawn.
        max_length: the most tokens of a caption, its end among them if it comes by then.
        length_penalty: how hypotheses are ranked; see `beam_search`.
        candidates: how many captions of an image are kept, at most; 0 for all hypotheses.
        min_length, no_repeat_ngram: see `Constraints`.
        forbid: words that are never said.
        sample: whether to draw captions at random rather than search for the most probable.
        temperature: see `beam_search` and `sample`.
        top_k, top_p: see `sample`.
        seed: of what is drawn. Equal seeds draw the same for equal images, or equal features.
        attention: whether to tell where the model looks for each word of the best caption.
        language: of the captions, one of the vocabulary's; empty for the most frequent.

    Raises:
        UserError: no caption could be like that.
    """

    width: int = 5
    max_length: int = 30
    length_penalty: float = 0.7
    candidates: int = 0
    min_length: int = 0
    no_repeat_ngram: int = 0
    forbid: tuple[str, ...] = ()
    sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    attention: bool = False
    language: str = ""

    def __post_init__(self) -> None:
        if self.candidates > self.width:
            raise UserError(f"{self.candidates} candidates need a --width as large, or larger")
        if self.min_length > self.max_length:
            raise UserError(f"no caption has from {self.min_length} to {self.max_length} words")
        if not self.sample and (self.top_k, self.top_p) != (0, 1):
            raise UserError("top-k and top-p are for captions drawn with --sample")
        if not 1e-3 <= self.temperature <= 1e3:
            raise UserError("a temperature is from 0.001 to 1000; for greedy search use --width 1")
        if not abs(self.length_penalty) <= 20:
            raise UserError("a length penalty is from -20 to 20")
        if not 0 < self.top_p <= 1:
            raise UserError("top-p is a share of probability: more than 0, and at most 1")
        if self.seed < 0:
            raise UserError("the seed must be 0 or more")
