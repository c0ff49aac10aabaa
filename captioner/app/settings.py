"""How captions are searched for, as the sidebar has it."""

from __future__ import annotations

import streamlit as st

from captioner.model import Captioner
from captioner.search import SearchOptions

_DEFAULT = SearchOptions()
_MOST_CAPTIONS = 20
_MOST_WORDS = 50


def settings(captioner: Captioner, attention: bool) -> SearchOptions:
    """What is chosen in the sidebar.

    Args:
        attention: whether the model can tell where it looks.

    Raises:
        UserError: no caption could be like that.
    """
    with st.sidebar:
        st.subheader("Settings", anchor=False)
        language = _language(captioner.vocabulary.languages)
        is_drawn = st.toggle("Draw captions at random")
        width = st.slider(
            "Captions drawn" if is_drawn else "Search width", 1, _MOST_CAPTIONS, _DEFAULT.width
        )
        shortest, longest = st.slider("Words", 0, _MOST_WORDS, (0, _DEFAULT.max_length))
        penalty = st.slider("Favour longer captions", 0.0, 2.0, _DEFAULT.length_penalty, 0.1)
        temperature = st.slider("Temperature", 0.1, 2.0, _DEFAULT.temperature, 0.1)
        drawing = _drawing() if is_drawn else {}
        forbidden = st.text_input("Never say", placeholder="word, word, …", max_chars=500)
        repeated = st.number_input("Words in a row that never come twice; 0: no rule", 0, 10, 0)
    return SearchOptions(
        width=width,
        max_length=max(longest, 1),
        min_length=shortest,
        length_penalty=penalty,
        temperature=temperature,
        no_repeat_ngram=repeated,
        forbid=tuple(filter(None, (word.strip() for word in forbidden.split(",")))),
        language=language,
        attention=attention,
        **drawing,
    )


def _language(languages: tuple[str, ...]) -> str:
    return st.selectbox("Language", languages) if len(languages) > 1 else ""


def _drawing() -> dict[str, int | float | bool]:
    """What matters only where captions are drawn."""
    return {
        "sample": True,
        "top_k": st.number_input("From the most probable words: how many, 0 for all", 0, 10_000, 0),
        "top_p": st.slider("From those that make up this probability", 0.05, 1.0, 1.0, 0.05),
        "seed": st.number_input("Seed", 0, 2**31 - 1, 0),
    }
