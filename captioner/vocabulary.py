"""Caption text to token ids and back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from captioner import storage
from captioner.corpora import clean
from captioner.errors import UserError
from captioner.shards import fingerprint

FORMAT = 1

PADDING, START, END, UNKNOWN = range(4)
_FIRST_WORD = UNKNOWN + 1


class Vocabulary:
    """The words that a captioner knows.

    Ids 0 to 3 are padding, start, end and unknown; the words follow.

    Args:
        words: in the order of their ids, without the four above.

    Attributes:
        fingerprint: a short hash of the words and their order.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = tuple(words)
        self._ids = {word: id for id, word in enumerate(self._words, _FIRST_WORD)}
        self.fingerprint = fingerprint({"words": self._words})

    @classmethod
    def build(cls, captions: Iterable[str], min_count: int) -> Vocabulary:
        """The words seen at least `min_count` times, by frequency and then by the alphabet."""
        counts = Counter(word for caption in captions for word in clean(caption).split())
        kept = (word for word, count in counts.items() if count >= min_count)
        return cls(sorted(kept, key=lambda word: (-counts[word], word)))

    def __len__(self) -> int:
        """The number of ids, those of padding, start, end and unknown among them."""
        return _FIRST_WORD + len(self._words)

    def encode(self, caption: str) -> list[int]:
        """The ids of any text: start, its words, end."""
        words = clean(caption).split()
        return [START, *(self._ids.get(word, UNKNOWN) for word in words), END]

    def decode(self, ids: Iterable[int]) -> str:
        """The words up to the first end, without those that stand for no word."""
        words = []
        for id in ids:
            if id == END:
                break
            if id >= _FIRST_WORD:
                words.append(self._words[id - _FIRST_WORD])
        return " ".join(words)

    def save(self, file: str) -> None:
        """Write the vocabulary to the URI `file`, replacing what is there."""
        values = {"format": FORMAT, "words": self._words}
        storage.replace(file, (json.dumps(values, ensure_ascii=False, indent=0) + "\n").encode())

    @classmethod
    def load(cls, file: str) -> Vocabulary:
        """The inverse of `save`.

        Raises:
            UserError: the file is missing, or no vocabulary of this version.
        """
        try:
            values = json.loads(storage.read_bytes(file))
            if values["format"] == FORMAT:
                return cls(values["words"])
        except FileNotFoundError as error:
            raise UserError(f"{file}: the vocabulary is missing; train the model again") from error
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{file}: not a vocabulary; train the model again") from error
        raise UserError(f"{file}: of another version of captioner; train the model again")
