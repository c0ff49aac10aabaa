"""Captions as words, in any script: cleaned as the Flickr8k projects clean them before they train.

A script that puts no spaces between its words (Han, Kana, Thai and others) is taken apart into its
characters, each with its marks, and put together again without spaces.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable

# Punctuation taken out leaves the `s` of "the dog 's ball" alone, so one-letter words go, except
# these two: references are full of "a", and BLEU counts it.
_ONE_LETTER_WORDS = {"a", "i"}

# They shape the letters of a word in Persian, Sinhala and others.
_JOINERS = "\u200c\u200d"
# What other languages than English write within words: "l'homme", "U-Bahn", "col·lecció".
_IN_WORDS = {"'": "'", "’": "'", "-": "-", "‐": "-", "‑": "-", "·": "·", "׳": "׳", "״": "״"}
_ONLY_WITHIN = _JOINERS + "".join(_IN_WORDS)

# How Unicode's names for characters of scripts without spaces begin: those whose lines may break
# anywhere or where a dictionary says so (UAX 14, classes ID and SA). `unicodedata` doesn't know
# scripts.
_UNSPACED = re.compile(
    "(HALFWIDTH |NEW )?(AHOM|CJK|HIRAGANA|IDEOGRAPHIC|KATAKANA|KHMER|LAO|MYANMAR|TAI|THAI)[ -]"
)


def clean(caption: str, language: str = "") -> str:
    """The caption's `words`, joined. Cleaning twice changes nothing more."""
    return join(words(caption, language))


def words(caption: str, language: str = "") -> list[str]:
    """Lower case, without punctuation, numbers and stray letters, NFC normalised.

    Punctuation is deleted, not replaced: "tri-colored" becomes "tricolored" and "dog's" "dogs".
    Words with a digit in them are dropped. Letters of all scripts stay, with their marks. Other
    languages than English keep their words of one letter, and apostrophes and hyphens in words.

    Args:
        caption: any text.
        language: its BCP 47 tag; where it is empty, the text is taken as if it were English.
    """
    is_english = language.partition("-")[0] in ("", "en")
    kept = map(_letters if is_english else _letters_and_signs, caption.lower())
    spaced = unicodedata.normalize("NFC", "".join(kept)).split()
    parts = (part.strip(_ONLY_WITHIN) for word in spaced for part in _parts(word))
    return [part for part in parts if _is_word(part) and not (is_english and _is_stray(part))]


def join(words: Iterable[str]) -> str:
    """Words as a text: with a space between, but not between characters of unspaced scripts."""
    words = list(words)
    gaps = (
        "" if is_unspaced(one[0]) and is_unspaced(other[0]) else " "
        for one, other in itertools.pairwise(words)
    )
    return "".join(itertools.chain(*itertools.zip_longest(words, gaps, fillvalue="")))


@functools.cache
def _letters(character: str) -> str:
    """The character if it belongs to a word, a digit for any numeral, nothing for the rest."""
    if character.isspace():
        return " "
    kind = unicodedata.category(character)[0]
    kept = character if character in _JOINERS else ""
    return {"L": character, "M": character, "N": "0"}.get(kind, kept)


def _letters_and_signs(character: str) -> str:
    return _IN_WORDS.get(character) or _letters(character)


def _parts(word: str) -> list[str]:
    """What is between spaces: its characters where the script has no spaces, the rest whole."""
    if word.isascii():
        return [word]
    parts = [word[0]]
    for character in word[1:]:
        apart = is_unspaced(character) or is_unspaced(parts[-1][0])
        if apart and not _is_mark(character):
            parts.append(character)
        else:
            parts[-1] += character
    return parts


@functools.cache
def is_unspaced(character: str) -> bool:
    """Whether it is a letter of a script that puts no spaces between its words."""
    return character.isalpha() and bool(_UNSPACED.match(unicodedata.name(character, "")))


@functools.cache
def _is_mark(character: str) -> bool:
    return character in _JOINERS or unicodedata.category(character)[0] == "M"


def _is_word(text: str) -> bool:
    return "0" not in text and any(map(str.isalpha, text))


def _is_stray(word: str) -> bool:
    return len(word) == 1 and word.isascii() and word not in _ONE_LETTER_WORDS
