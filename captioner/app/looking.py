"""The view of one image: its caption, the candidates, where the model looked, what is like it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import streamlit as st

from captioner.app import loading, moving, parts
from captioner.app.loading import Seen
from captioner.app.moving import Card
from captioner.app.run import Run
from captioner.captions import CaptionRecord
from captioner.images import LIMITS, ImageError
from captioner.model import Captioner
from captioner.similarity import Neighbour

_MOST_UPLOADS = 24
_ALIKE, _LEAST_ALIKE = 10, 0.5  # images, at most; the cosine of their captions, at least
_LIMITS = f"{LIMITS.bytes // 1_000_000} MB and {LIMITS.pixels // 1_000_000} megapixels each"
_WELCOME = (
    "JPEG, PNG, WebP, GIF, TIFF or BMP. They stay in memory, and only until this page is closed."
)


@dataclasses.dataclass(frozen=True)
class Viewer:
    """Looks at images.

    Args:
        captioner: the model, with the search that was chosen.
        no_attention: why it can't tell where it looks; empty where it can.
        run: the run whose images may be looked at, if there is one.
        output: where it is.
    """

    captioner: Captioner
    no_attention: str
    run: Run | None
    output: str | None

    def show(self, is_open: bool = True) -> None:
        """The view. What was dropped is kept where it isn't open, too."""
        uploads = st.file_uploader(
            f"Drop images here, of at most {_LIMITS}",
            accept_multiple_files=True,
            on_change=moving.look_at_upload,
            key="uploads",
        )
        if not is_open:
            return
        moving.to_top()
        followed = moving.followed()
        if followed is not None:
            self._show_of_run(followed, bool(uploads))
        elif uploads:
            self._show_uploads(uploads)
        else:
            parts.say(_WELCOME)
            if self.run:
                parts.say("Or choose one from the run, in the other tab.")

    def _look(self, source: str | bytes) -> Seen | ImageError:
        with st.spinner("Looking at the image …"):
            return loading.look(source, self.captioner.fingerprint, self.captioner)

    def _show_uploads(self, uploads: Sequence[Any]) -> None:
        uploads = uploads[:_MOST_UPLOADS]
        chosen = uploads[min(moving.upload(), len(uploads) - 1)]
        self._show(chosen.name, self._look(chosen.getvalue()))
        if len(uploads) > 1:
            parts.section("What was dropped")
            moving.grid("upload", [self._card(*numbered) for numbered in enumerate(uploads)])

    def _card(self, number: int, upload: Any) -> Card:
        seen = self._look(upload.getvalue())
        if isinstance(seen, ImageError):
            said = (None, f"{seen.reason}: {seen}", (upload.name,))
        else:
            said = (seen.small, seen.caption.text, (upload.name,))
        return Card(*said, moving.look_at_upload, number)

    def _show_of_run(self, id: str, has_uploads: bool) -> None:
        entry = self.run and self.run.entry(id)
        if not entry:
            return parts.problem("not in the run", id)
        if has_uploads:
            st.button("Back to what was dropped", on_click=moving.look_at_upload)
        self._show(id, self._look(entry.uri), self.run.record(id))

    def _show(
        self, name: str, seen: Seen | ImageError, record: CaptionRecord | None = None
    ) -> None:
        left, right = st.columns([5, 6], gap="medium")
        with left:
            parts.looked_at(None if isinstance(seen, ImageError) else seen.picture, name)
        with right:
            if isinstance(seen, ImageError):
                parts.problem(str(seen.reason), str(seen))
                self._show_record(name, record)
            else:
                self._show_caption(name, seen, record)
        if not isinstance(seen, ImageError):
            self._show_attention(seen)
        if self.run:
            self._show_similar(seen, record)

    def _show_caption(self, name: str, seen: Seen, record: CaptionRecord | None) -> None:
        differs = record and record.caption != seen.caption.text
        notes = [f"In the run: {record.caption}"] if record and differs else []
        size = f"{seen.width:,} × {seen.height:,} pixels"
        parts.told(seen.caption.text, f"{name}, {size}", *notes)
        parts.candidates(_probabilities(seen.caption.candidates))

    def _show_record(self, name: str, record: CaptionRecord | None) -> None:
        if record:
            parts.told(record.caption, name, "The run says so; the image can't be looked at now.")
            parts.candidates(_probabilities(record.candidates))
        else:
            parts.say(name)

    def _show_attention(self, seen: Seen) -> None:
        parts.section("Where it looked, word by word")
        if self.no_attention:
            parts.say(f"Can't be told: {self.no_attention}.")
        else:
            parts.words(seen.maps, seen.words)

    def _show_similar(self, seen: Seen | ImageError, record: CaptionRecord | None) -> None:
        """Images of the run that are captioned alike; what the run says of its own goes before."""
        if not record and isinstance(seen, ImageError):
            return
        similar, bounds = loading.similar(self.output), (_ALIKE, _LEAST_ALIKE)
        if record:
            found = similar.like_image(record.id, *bounds)
        else:
            found = similar.like(seen.caption.text, *bounds)
        parts.section("Alike in the run")
        if not found:
            return parts.say("No caption of it is like this one.")
        pictures = loading.small_pictures([one.image for one in found])
        moving.grid("similar", [_neighbour(one, pictures.get(one.image.id)) for one in found])


def _neighbour(found: Neighbour, picture: str | None) -> Card:
    image, notes = found.image, (found.image.id, f"{found.similarity:.0%} alike")
    return Card(picture, image.caption, notes, moving.follow, image.id)


def _probabilities(candidates: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Of log-probabilities, which are a run's own where there is no image."""
    return [(text, math.exp(min(number, 0.0))) for text, number in candidates]
