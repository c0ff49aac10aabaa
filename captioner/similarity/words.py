"""Texts compared by their words.

A text's vector has its words' TF-IDF, how often a word is in it times 1 + log((1 + n) / (1 + m))
for a word in m of n texts, over the vector's length: as of scikit-learn's `TfidfTransformer`, and
of Salton and Buckley, "Term-weighting approaches in automatic text retrieval" (1988).

Put the words of a text in any order. Another one whose cosine is at least c has one of the first of
them, where these are so many that the rest of the vector is shorter than c: Chaudhuri, Ganti and
Kaushik, "A primitive operator for similarity joins in data cleaning" (2006). With the rarest words
first, few texts have to be looked at.
"""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow

from captioner import corpora
from captioner.errors import UserError
from captioner.similarity import tables
from captioner.similarity.nearest import ROUNDING, Near, nearest

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_LISTS = pyarrow.list_(pyarrow.int32())
# How many times as long it takes to compare a text that is picked as one of all.
_PICKING = 8


class Weighted(NamedTuple):
    """A text's words by their numbers, int32 [n], and their weights, float32 [n].

    The weights' length is 1, or less where the text has words besides.
    """

    words: np.ndarray
    weights: np.ndarray


class WordVectors:
    """Texts, by their words; see `Vectors`.

    Args:
        numbers: of the words that are known.
        lists: of each text the numbers of its words.

    Raises:
        UserError: scikit-learn is not installed.
    """

    def __init__(
        self, numbers: dict[str, int] | None = None, lists: Sequence[pyarrow.Array] = ()
    ) -> None:
        try:
            from sklearn.feature_extraction.text import TfidfTransformer
        except ImportError as error:
            raise UserError(
                "similar captions need scikit-learn: pip install 'captioner[similar]'"
            ) from error
        self._weigh = TfidfTransformer()
        self._numbers = numbers or {}
        self._lists = [*lists]

    @classmethod
    def from_parts(cls, parts: dict[str, bytes]) -> WordVectors:
        """The inverse of `parts`."""
        known = tables.read(parts["vocabulary"])["word"].to_pylist()
        lists = tables.read(parts["words"])["words"].chunks
        return cls(dict(zip(known, itertools.count())), lists)

    def parts(self) -> dict[str, bytes]:
        """The vocabulary and the lists, as Parquet."""
        known = pyarrow.array([*self._numbers], pyarrow.string())
        lists = pyarrow.chunked_array(self._lists, _LISTS)
        return {
            "vocabulary": tables.write(pyarrow.table({"word": known})),
            "words": tables.write(pyarrow.table({"words": lists})),
        }

    def is_outgrown(self) -> bool:
        """Never: the weights are made anew by each `hold`."""
        return False

    def extend(self, texts: Sequence[str], _: int) -> None:
        """Add texts."""
        number = self._numbers
        lists = [
            [number.setdefault(word, len(number)) for word in corpora.words(text)] for text in texts
        ]
        self._lists.append(pyarrow.array(lists, _LISTS))

    def hold(self, items: np.ndarray) -> None:
        """Look only for these texts. A word is as rare as it is among them."""
        counts = self._counts()[items]
        self._items = items
        self._by_text = self._weigh.fit_transform(counts) if counts.nnz else counts
        self._by_word = self._by_text.T.tocsr()

    def of(self, texts: Sequence[str]) -> Iterator[Weighted]:
        """Vectors of texts, of which only the words that are known can be compared."""
        rarest = 1 + math.log(1 + len(self._items))  # the weight of a word that no text has
        for text in texts:
            counts = collections.Counter(corpora.words(text))
            known = {word: self._numbers[word] for word in counts if word in self._numbers}
            words = np.array([*known.values()], np.int32)
            weights = np.array([counts[word] for word in known]) * self._idf(words)
            others = [count * rarest for word, count in counts.items() if word not in known]
            yield Weighted(words, weights / (np.linalg.norm([*weights, *others]) or 1))

    def of_items(self, items: np.ndarray) -> Iterator[Weighted]:
        """Vectors of texts that are held."""
        for row in np.searchsorted(self._items, items):
            vector = self._by_text[row]
            yield Weighted(vector.indices, vector.data)

    def near(self, vectors: Iterable[Weighted], top: int, least: float) -> Iterator[list[Near]]:
        """For each vector the nearest texts, of those that have a word of it."""
        for one in vectors:
            rows, cosines = self._cosines(one, least)
            yield nearest(self._items[rows], cosines, top, least)

    def _cosines(self, one: Weighted, least: float) -> tuple[np.ndarray, np.ndarray]:
        """Rows, among them all whose cosine is at least so much, and the cosines of these."""
        from scipy.sparse import csr_matrix

        if not len(one.words):
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        starts = self._by_word.indptr
        counts = starts[one.words + 1] - starts[one.words]
        order = np.argsort(counts, kind="stable")
        rest = np.sqrt(np.cumsum(one.weights[order[::-1]] ** 2)[::-1])  # from each word on
        first = order[: np.count_nonzero(rest >= least - ROUNDING)]
        if not len(first):
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        if counts[first].sum() * _PICKING < counts.sum():
            return self._picked(one, one.words[first])
        vector = csr_matrix((one.weights, one.words, [0, len(one.words)]), (1, len(starts) - 1))
        product = vector @ self._by_word
        return product.indices, product.data

    def _picked(self, one: Weighted, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows of texts that have one of the first words, and their cosines."""
        starts = self._by_word.indptr
        lists = [self._by_word.indices[starts[word] : starts[word + 1]] for word in first]
        rows = np.unique(np.concatenate(lists))
        weights = np.zeros(len(starts) - 1, np.float32)
        weights[one.words] = one.weights
        return rows, self._by_text[rows] @ weights

    def _idf(self, words: np.ndarray) -> np.ndarray:
        return self._weigh.idf_[words] if len(words) and self._by_text.nnz else np.ones(len(words))

    def _counts(self) -> csr_matrix:
        """How often each word is in each text, held or not."""
        from scipy.sparse import csr_matrix

        lists = pyarrow.chunked_array(self._lists, _LISTS).combine_chunks()
        words, starts = lists.values.to_numpy(), lists.offsets.to_numpy()
        ones = np.ones(len(words), np.float32)
        # A copy, as Parquet's own arrays can't be sorted.
        shape = (len(lists), len(self._numbers))
        counts = csr_matrix((ones, words, starts), shape, copy=True)
        counts.sum_duplicates()
        return counts
