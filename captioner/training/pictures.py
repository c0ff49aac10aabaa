"""Pictures of a training: its curves and its network."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import keras
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from captioner.decoders import Decoder

_SIZE = (800, 500)
_LEFT, _TOP, _RIGHT, _BOTTOM = 70, 40, 770, 440
_COLOURS = {"loss": "#1f6feb", "development_loss": "#d1242f", "reward": "#1a7f37"}
_FONT_SIZE = 15
_TICKS = 5


def curves(history: list[dict[str, float]]) -> bytes:
    """The losses by epoch, or the rewards, as a PNG file."""
    image = Image.new("RGB", _SIZE, "white")
    draw = ImageDraw.Draw(image)
    names = [name for name in _COLOURS if name in history[0]]
    values = np.array([[entry[name] for entry in history] for name in names])
    low, high = float(values.min()), float(values.max())
    _draw_axes(draw, low, high, len(history))
    across = np.linspace(_LEFT, _RIGHT, len(history))
    for place, (name, losses) in enumerate(zip(names, values, strict=True)):
        down = _BOTTOM - (losses - low) / ((high - low) or 1) * (_BOTTOM - _TOP)
        points = list(zip(across.tolist(), down.tolist(), strict=True))
        draw.line(points, _COLOURS[name], width=3)
        for x, y in points:
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), _COLOURS[name])
        label = name.replace("_", " ")
        draw.text((_LEFT + 200 * place, 10), label, _COLOURS[name], _font())
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def network(decoder: Decoder) -> bytes | None:
    """The decoder's layers as a PNG file; None without pydot or Graphviz."""
    inputs = {
        "features": keras.Input(decoder.feature_shape, name="features"),
        "tokens": keras.Input((5, 20), dtype="int32", name="tokens"),
    }
    # Its `call` rather than the decoder itself, which would be a single box.
    whole = keras.Model(inputs, decoder.call(inputs))
    with tempfile.TemporaryDirectory(prefix="captioner-") as directory:
        file = Path(directory) / "model.png"
        try:
            keras.utils.plot_model(whole, file, show_shapes=True)
        except ImportError:  # also where Graphviz' programs are missing
            return None
        return file.read_bytes() if file.exists() else None


def _draw_axes(draw: ImageDraw.ImageDraw, low: float, high: float, epochs: int) -> None:
    draw.line([(_LEFT, _TOP), (_LEFT, _BOTTOM), (_RIGHT, _BOTTOM)], "black")
    for share in np.linspace(0, 1, _TICKS):
        y = _BOTTOM - share * (_BOTTOM - _TOP)
        draw.line([(_LEFT, y), (_RIGHT, y)], "#dddddd")
        draw.text((_LEFT - 8, y), f"{low + share * (high - low):.2f}", "black", _font(), "rm")
    draw.text((_LEFT, _BOTTOM + 10), "epoch 1", "black", _font(), "mt")
    draw.text((_RIGHT, _BOTTOM + 10), f"{epochs}", "black", _font(), "mt")


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT_SIZE)
