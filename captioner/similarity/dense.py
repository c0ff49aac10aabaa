"""Vectors of any kind, compared by FAISS.

Few are compared as they are. Many are first projected to fewer dimensions, those that hold most of
their lengths, then kept in 8 bits a dimension, and looked for in those clusters alone that are
nearest to what is asked (inverted file, scalar quantization: Douze et al., "The Faiss library",
2024). Cosines of many are approximate therefore.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from captioner.errors import UserError
from captioner.similarity.nearest import Near, nearest

_FEW = 20_000  # vectors that are compared as they are: some milliseconds
_DIMENSIONS = 512
_PROBES = 128  # clusters that are looked into
_GROWTH = 8  # times as many vectors as clusters were made for, and they are too large


class DenseVectors:
    """Vectors, by FAISS; see `Vectors`.

    Args:
        embed: from the contents of items to float32 [n, dimensions].
        index: FAISS' own, where there is one; else the first vectors that come decide on it.
        expected: how many it was made for, about.

    Raises:
        UserError: FAISS is not installed.
    """

    def __init__(
        self, embed: Callable[[Sequence[Any]], np.ndarray], index: Any = None, expected: int = 0
    ) -> None:
        self._faiss = _faiss()
        self._embed = embed
        self._expected = expected
        self._index = index

    @classmethod
    def from_parts(
        cls, parts: dict[str, bytes], embed: Callable[[Sequence[Any]], np.ndarray]
    ) -> DenseVectors:
        """The inverse of `parts`."""
        if not parts:
            return cls(embed)
        index = _faiss().deserialize_index(np.frombuffer(parts["vectors"], np.uint8))
        return cls(embed, index, int(parts["expected"]))

    def parts(self) -> dict[str, bytes]:
        """The index as FAISS writes it, and how many vectors it was made for."""
        if self._index is None:
            return {}
        vectors = self._faiss.serialize_index(self._index).tobytes()
        return {"vectors": vectors, "expected": b"%d" % self._expected}

    def is_outgrown(self) -> bool:
        """Whether there are too many to compare as they are, or for the clusters there are."""
        count = self._index.ntotal if self._index else 0
        return count > (_FEW if self._expected <= _FEW else _GROWTH * self._expected)

    def extend(self, contents: Sequence[Any], expected: int) -> None:
        """Add the vectors of more items. Those of the first call are to be like the others."""
        vectors = self._embed(contents)
        if self._index is None:
            self._expected = expected
            self._index = self._created(vectors)
        self._index.add(vectors)

    def hold(self, items: np.ndarray) -> None:
        """Look only for these items."""
        held = np.zeros(self._index.ntotal if self._index else 0, bool)
        held[items] = True
        self._bits = np.packbits(held, bitorder="little")
        clusters = self._index and self._faiss.try_extract_index_ivf(self._index)
        if clusters:
            clusters.make_direct_map()  # which `of_items` goes by
        self._settings = self._search_settings(bool(clusters))

    def of(self, contents: Sequence[Any]) -> np.ndarray:
        """Vectors of texts or features: float32 [n, dimensions]."""
        return self._embed(contents)

    def of_items(self, items: np.ndarray) -> np.ndarray:
        """Vectors of items, as well as they are kept: float32 [n, dimensions]."""
        return self._index.reconstruct_batch(items.astype(np.int64))

    def near(self, vectors: np.ndarray, top: int, least: float) -> Iterator[list[Near]]:
        """For each vector the nearest items."""
        if self._index is None:
            yield from ([] for _ in vectors)
            return
        if vectors.shape[1] != self._index.d:
            raise UserError(
                f"vectors of {self._index.d} numbers are kept, and the model gives "
                f"{vectors.shape[1]}: it is another one by now; delete the output's 'similar'"
            )
        most = min(top, self._index.ntotal)
        cosines, items = self._index.search(vectors, most, params=self._settings)
        for one, found in zip(cosines, items, strict=True):
            there = found >= 0
            yield nearest(found[there], one[there], top, least)

    def _created(self, vectors: np.ndarray) -> Any:
        """An index for vectors such as these."""
        faiss, dimensions = self._faiss, vectors.shape[1]
        if self._expected <= _FEW:
            index = faiss.IndexPreTransform(faiss.IndexFlatIP(dimensions))
            index.prepend_transform(_to_length_1(dimensions))
            return index
        kept = min(dimensions, _DIMENSIONS)
        clusters = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(kept),
            kept,
            round(self._expected**0.5),
            faiss.ScalarQuantizer.QT_8bit,
            faiss.METRIC_INNER_PRODUCT,
        )
        index = faiss.IndexPreTransform(clusters)
        index.prepend_transform(_to_length_1(kept))
        if kept < dimensions:
            index.prepend_transform(_projection(vectors, kept))
            index.prepend_transform(_to_length_1(dimensions))
        index.train(vectors)
        return index

    def _search_settings(self, has_clusters: bool) -> Any:
        faiss = self._faiss
        held = faiss.IDSelectorBitmap(self._bits)
        if has_clusters:
            inner = faiss.SearchParametersIVF(sel=held, nprobe=_PROBES)
        else:
            inner = faiss.SearchParameters(sel=held)
        return faiss.SearchParametersPreTransform(index_params=inner)


def _to_length_1(dimensions: int) -> Any:
    return _faiss().NormalizationTransform(dimensions, 2.0)


def _projection(vectors: np.ndarray, dimensions: int) -> Any:
    """To the dimensions that hold most of the vectors' lengths, and so of their cosines.

    They are the first right singular vectors. Unlike those of a PCA, vectors stay where they are.
    """
    faiss, before = _faiss(), vectors.shape[1]
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    _, directions = np.linalg.eigh(units.T @ units)  # the longest last
    made = faiss.LinearTransform(before, dimensions, False)
    rows = np.ascontiguousarray(directions.T[::-1][:dimensions], np.float32)
    faiss.copy_array_to_vector(rows.ravel(), made.A)
    made.set_is_orthonormal()
    made.is_trained = True
    return made


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise UserError(
            "vectors are compared by FAISS: pip install 'captioner[similar]'"
        ) from error
    return faiss
