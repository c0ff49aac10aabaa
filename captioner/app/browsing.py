"""The view of a run: searched, filtered, and leafed through."""

from __future__ import annotations

import streamlit as st

from captioner.app import loading, moving, parts
from captioner.app.moving import Card
from captioner.app.run import Entry, Query, Run

_PAGE = 24  # images
_MOST_REASONS = 20  # to choose from, the most frequent


def show(run: Run) -> None:
    """The view."""
    query = _query(run)
    rows = run.find(query)
    if not len(rows):
        return parts.say("Nothing is like that; ask for less.")
    pages = -(-len(rows) // _PAGE)
    # Another query begins at its first page.
    page = st.pagination(pages, key=f"page-{hash(query)}", persist_state="page") if pages > 1 else 1
    first = (page - 1) * _PAGE
    entries = run.entries(rows[first : first + _PAGE])
    parts.say(f"{first + 1:,} to {first + len(entries):,} of {len(rows):,}")
    pictures = loading.small_pictures(entries)
    moving.grid("entry", [_card(entry, pictures.get(entry.id)) for entry in entries])


def _query(run: Run) -> Query:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Search", placeholder="in captions and names", key="search", persist_state="page"
        )
        reason = _reason(run)
        if reason:
            return Query(text, reason)
        sure = st.slider(
            "Confidence per word",
            0,
            100,
            (0, 100),
            format="%d %%",
            key="sure",
            persist_state="page",
        )
    return Query(text, "", (sure[0] / 100, sure[1] / 100))


def _reason(run: Run) -> str:
    """What to show: captions, or failures of a reason."""
    reasons = ["", *(reason for reason, _ in run.reasons.most_common(_MOST_REASONS) if reason)]
    if len(reasons) == 1:
        return ""
    names = [f"{reason[:40] or 'captions'} ({run.reasons[reason]:,})" for reason in reasons]
    places = range(len(reasons))
    place = st.selectbox(
        "Show", places, format_func=names.__getitem__, key="reason", persist_state="page"
    )
    return reasons[place]


def _card(entry: Entry, picture: str | None) -> Card:
    if entry.reason:
        notes = (entry.text, entry.id)
        return Card(picture, entry.reason, notes, moving.follow, entry.id)
    notes = (entry.id, f"confidence {entry.sure:.0%} per word")
    return Card(picture, entry.text, notes, moving.follow, entry.id)
