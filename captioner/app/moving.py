"""What is looked at, and how another image comes to be: the session's state, and nothing else's."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import streamlit as st

from captioner.app import parts

CAPTION, RUN = "Caption", "Run"
VIEW = "view"  # which of the two is open
_FOLLOWED, _UPLOAD, _MOVED = "followed", "upload", "moved"
_CARD_WIDTH = 170  # pixels: two side by side on a telephone
# Constant, as all that is ever run.
_TO_TOP = "<script>document.querySelector('.stMain')?.scrollTo({top: 0})</script>"


class Card(NamedTuple):
    """An image in a grid: its picture as a `data:` URI or None, and what is said of it.

    `look_at` and `target` are what to call, with what, when it is to be looked at.
    """

    picture: str | None
    caption: str
    notes: tuple[str, ...]
    look_at: Callable[[Any], None]
    target: Any


def followed() -> str | None:
    """The id of the run's image that is looked at; None where it is an upload."""
    return st.session_state.get(_FOLLOWED)


def upload() -> int:
    """Which of the uploads is looked at."""
    return st.session_state.get(_UPLOAD, 0)


def follow(id: str) -> None:
    """Look at an image of the run."""
    st.session_state.update({_FOLLOWED: id, VIEW: CAPTION, _MOVED: True})


def look_at_upload(number: int = 0) -> None:
    """Look at an upload."""
    st.session_state.update({_FOLLOWED: None, _UPLOAD: number, _MOVED: True})


def to_top() -> None:
    """Have the page begin where what is newly looked at is."""
    if st.session_state.pop(_MOVED, False):
        st.html(_TO_TOP, unsafe_allow_javascript=True)


def grid(name: str, cards: Iterable[Card]) -> None:
    """Cards side by side, as many as there is room for; `name` sets them apart from others."""
    with st.container(horizontal=True, gap="small"):
        for number, card in enumerate(cards):
            with st.container(width=_CARD_WIDTH, gap=None):
                parts.card(card.picture, card.caption, *card.notes)
                st.button(
                    "Look closer",
                    key=f"{name}-{number}",
                    type="tertiary",
                    on_click=card.look_at,
                    args=(card.target,),
                )
