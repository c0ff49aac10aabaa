"""Caption text to token ids and back."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Sequence

from captioner import corpora, storage
from captioner.errors import UserError
from captioner.shards import fingerprint

FORMAT = 1

PADDING, START, END, UNKNOWN = range(4)
_FIRST_LANGUAGE = UNKNOWN + 1


class Vocabulary:
    """The words that a captioner knows, and the languages.

    Ids 0 to 3 are padding, start, end and unknown; the languages follow, and then the words. A
    caption in one of the languages begins with that language's id in the place of the start.

    Args:
        words: in the order of their ids.
        languages: BCP 47 tags, the most frequent first.

    Attributes:
        languages: as given.
        fingerprint: a short hash of the words, the languages and their order.
    """

    def __init__(self, words: Sequence[str], languages: Sequence[str] = ()) -> None:
        self._words = tuple(words)
        self.languages = tuple(languages)
        self._starts = {tag: id for id, tag in enumerate(self.languages, _FIRST_LANGUAGE)}
        self._first_word = _FIRST_LANGUAGE + len(self.languages)
        self._ids = {word: id for id, word in enumerate(self._words, self._first_word)}
        self.fingerprint = fingerprint({"words": self._words, "languages": self.languages})

    @classmethod
    def build(
        cls, captions: Iterable[str], min_count: int, languages: Iterable[str] = ()
    ) -> Vocabulary:
        """The words seen at least `min_count` times, by frequency and then by the alphabet.

        Args:
            captions: as written.
            min_count: over all languages.
            languages: of each caption, a BCP 47 tag or ""; none at all if none is known.
        """
        words: Counter[str] = Counter()
        tags: Counter[str] = Counter()
        for caption, language in itertools.zip_longest(captions, languages, fillvalue=""):
            words.update(corpora.words(caption, language))
            tags[language] += 1
        return cls(_by_frequency(words, min_count), list(filter(None, _by_frequency(tags))))

    def __len__(self) -> int:
        """The number of ids, those that stand for no word among them."""
        return self._first_word + len(self._words)

    @property
    def language(self) -> str:
        """The most frequent of the languages; empty if none is known."""
        return next(iter(self.languages), "")

    def start(self, language: str) -> int:
        """The id that captions in a language begin with; where it is not known, "", the start.

        Raises:
            UserError: it is none of the vocabulary's languages.
        """
        if language and language not in self._starts:
            known = ", ".join(self.languages) or "there are none in its training captions"
            raise UserError(f"the model knows no language '{language}': {known}")
        return self._starts.get(language, START)

    def encode(self, caption: str, language: str = "") -> list[int]:
        """The ids of any text: that of its language or else start, its words, end."""
        ids = (self._ids.get(word, UNKNOWN) for word in corpora.words(caption, language))
        return [self._starts.get(language, START), *ids, END]

    def decode(self, ids: Iterable[int]) -> str:
        """The text up to the first end, without what stands for no word."""
        ids = itertools.takewhile(lambda id: id != END, ids)
        places = (id - self._first_word for id in ids if id >= self._first_word)
        return corpora.join(self._words[place] for place in places)

    def save(self, file: str) -> None:
        """Write the vocabulary to the URI `file`, replacing what is there."""
        values = {"format": FORMAT, "languages": self.languages, "words": self._words}
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
                return cls(values["words"], values["languages"])
        except FileNotFoundError as error:
            raise UserError(f"{file}: the vocabulary is missing; train the model again") from error
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{file}: not a vocabulary; train the model again") from error
        raise UserError(f"{file}: of another version of captioner; train the model again")


def _by_frequency(counts: Counter[str], least: int = 1) -> list[str]:
    kept = (text for text, count in counts.items() if count >= least)
    return sorted(kept, key=lambda text: (-counts[text], text))
