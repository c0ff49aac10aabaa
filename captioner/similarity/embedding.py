"""Vectors of texts, by models that the user has installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from captioner.errors import UserError

Embed = Callable[[Sequence[str]], np.ndarray]


def embedder(model: str) -> Embed:
    """What makes vectors of texts: float32 [n, dimensions].

    Args:
        model: ``spacy:NAME`` or ``sentence-transformers:NAME``, by a name that the library knows,
            or a directory.

    Raises:
        UserError: there is no such library, or no such model in it.
    """
    library, _, name = model.partition(":")
    if library not in _LIBRARIES or not name:
        choices = " or ".join(f"{known}:NAME" for known in _LIBRARIES)
        raise UserError(f"{model}: no model of texts; say {choices}")
    try:
        return _LIBRARIES[library](name)
    except ImportError as error:
        raise UserError(f"{model}: pip install {library} ({error})") from error
    except (OSError, ValueError) as error:  # what both say of a name that they don't know
        raise UserError(f"{model}: {error}") from error


def _of_spacy(name: str) -> Embed:
    import spacy

    language = spacy.load(name)
    if not language.vocab.vectors_length:
        raise ValueError("it has no vectors of words")

    def embed(texts: Sequence[str]) -> np.ndarray:
        return np.stack([language.make_doc(text).vector for text in texts]).astype(np.float32)

    return embed


def _of_sentence_transformers(name: str) -> Embed:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(name)

    def embed(texts: Sequence[str]) -> np.ndarray:
        return model.encode([*texts], convert_to_numpy=True).astype(np.float32)

    return embed


_LIBRARIES = {"spacy": _of_spacy, "sentence-transformers": _of_sentence_transformers}
