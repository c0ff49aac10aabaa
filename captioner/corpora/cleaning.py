"""Captions as the Flickr8k projects clean them before they train."""

from __future__ import annotations

import functools
import unicodedata

# Punctuation taken out leaves the `s` of "the dog 's ball" alone, so one-letter words go, except
# these two: references are full of "a", and BLEU counts it.
_ONE_LETTER_WORDS = {"a", "i"}


def clean(caption: str) -> str:
    """Lower case, without punctuation, numbers and stray letters: words with a space between.

    Punctuation is deleted, not replaced: "tri-colored" becomes "tricolored" and "dog's" "dogs".
    Words with a digit in them are dropped. Letters of all scripts stay, with their marks, NFC
    normalised. Cleaning twice changes nothing more.
    """
    letters = "".join(map(_cleaned, caption.lower()))
    words = unicodedata.normalize("NFC", letters).split()
    return " ".join(word for word in words if _is_kept(word))


@functools.cache
def _cleaned(character: str) -> str:
    """The character if it belongs to a word, a digit for any numeral, nothing for the rest."""
    if character.isspace():
        return " "
    kind = unicodedata.category(character)[0]
    return {"L": character, "M": character, "N": "0"}.get(kind, "")


def _is_kept(word: str) -> bool:
    stray = len(word) == 1 and word.isascii() and word not in _ONE_LETTER_WORDS
    return "0" not in word and not stray and any(map(str.isalpha, word))
