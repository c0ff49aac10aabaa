"""Files that a directory of images from the web may hold: odd ones, broken ones and hostile ones.

All are made here, and are the same each time. They are small, though some claim not to be.
"""

from __future__ import annotations

import functools
import io
import itertools
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

Files = dict[str, bytes]  # by path, relative to the directory that they are to be in

_SIDE = 50_000  # of what claims to be huge


def kinds() -> Files:
    """Every kind of file."""
    return valid() | broken()


@functools.cache
def valid() -> Files:
    """Those that are images to any reader that is not too strict: they have pixels."""
    made = {f"plain/{name}": data for name, data in _plain().items()}
    made |= {f"shapes/{name}": data for name, data in _shapes().items()}
    made |= {f"names/{name}": _WHOLE for name in _NAMES}
    made |= {f"large/{name}": data for name, data in _large().items()}
    made |= _wrong_extensions()
    made |= {f"trailing/{name}": data + b"garbage" * 99 for name, data in _plain().items()}
    return made


@functools.cache
def broken() -> Files:
    """Those that are no images, or may be none: for each there is a reason, or there are pixels."""
    made = {f"other/{name}": data for name, data in _other_files().items()}
    made |= {f"bombs/{name}": data for name, data in _bombs().items()}
    made |= {f"metadata/{name}": data for name, data in _metadata().items()}
    for name, data in _plain().items():
        made |= {f"truncated/{kind} {name}": part for kind, part in _truncated(data)}
        made |= {f"damaged/{kind} {name}": part for kind, part in _damaged(name, data)}
    return made


# What is well


def _picture(width: int = 64, height: int = 48, seed: int = 0) -> Image.Image:
    """Smooth with some noise, as photos are."""
    random_pixels = np.random.default_rng(seed)
    coarse = Image.fromarray(random_pixels.integers(0, 256, (4, 4, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    noise = random_pixels.integers(-9, 10, smooth.shape)
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))


def _saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def _in_frames(count: int = 3) -> dict[str, object]:
    return {"save_all": True, "append_images": [_picture(seed=n) for n in range(1, count)]}


_WHOLE = _saved(_picture(), "JPEG")


def _plain() -> Files:
    """One of each coding, whole."""
    return _jpegs() | _pngs() | _webps() | _gifs() | _tiffs() | _bmps()


def _jpegs() -> Files:
    rgb = _picture()
    return {
        "baseline.jpg": _WHOLE,
        "progressive.jpg": _saved(rgb, "JPEG", progressive=True),
        "full-colour.jpg": _saved(rgb, "JPEG", subsampling=0, quality=100),
        "restarts.jpg": _saved(rgb, "JPEG", restart_marker_blocks=2),
        "grey.jpg": _saved(rgb.convert("L"), "JPEG"),
        "inks.jpg": _saved(rgb.convert("CMYK"), "JPEG"),
        "frames.mpo": _saved(rgb, "MPO", **_in_frames()),
    }


def _pngs() -> Files:
    rgb, deep = _picture(), np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 21
    modes = {mode: _saved(rgb.convert(mode), "PNG") for mode in ("1", "L", "LA", "RGB", "RGBA")}
    return {f"mode-{mode}.png": data for mode, data in modes.items()} | {
        "palette.png": _saved(rgb.quantize(16), "PNG"),
        "palette-transparent.png": _saved(rgb.quantize(16), "PNG", transparency=3),
        "deep.png": _saved(Image.fromarray(deep), "PNG"),
        "deep-colour.png": png(8, 8, _rows(8, 8, bytes(range(48))), bits=16),
        "interlaced.png": png(1, 1, b"\0\x80\x40\x20", interlaced=True),
        "animated.png": _saved(rgb, "PNG", **_in_frames()),
    }


def _webps() -> Files:
    rgb = _picture()
    return {
        "lossy.webp": _saved(rgb, "WEBP"),
        "lossless.webp": _saved(rgb, "WEBP", lossless=True),
        "alpha.webp": _saved(rgb.convert("RGBA"), "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
        "animated.webp": _saved(rgb, "WEBP", **_in_frames()),
    }


def _gifs() -> Files:
    rgb = _picture()
    return {
        "still.gif": _saved(rgb, "GIF"),
        "interlaced.gif": _saved(rgb, "GIF", interlace=1),
        "transparent.gif": _saved(rgb.quantize(16), "GIF", transparency=2),
        "endless.gif": _saved(rgb, "GIF", loop=0, **_in_frames()),
    }


def _tiffs() -> Files:
    rgb = _picture()
    codings = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma")
    made = {f"{name}.tif": _saved(rgb, "TIFF", compression=name) for name in codings}
    faxes = ("group3", "group4", "tiff_ccitt")
    made |= {f"{name}.tif": _saved(rgb.convert("1"), "TIFF", compression=name) for name in faxes}
    number = Image.fromarray(np.linspace(0, 1, 64 * 48, dtype=np.float32).reshape(48, 64))
    return made | {
        "pages.tif": _saved(rgb, "TIFF", **_in_frames()),
        "strips.tif": _saved(rgb, "TIFF", tiffinfo={278: 5}),
        "big.tif": _saved(rgb, "TIFF", big_tiff=True),
        "inks.tif": _saved(rgb.convert("CMYK"), "TIFF"),
        "numbers.tif": _saved(number, "TIFF"),
        "tiled.tif": _tiled(),
        "motorola.tif": tiff(_grey_entries(8, 8), bytes(range(64)), order=">"),
    }


def _bmps() -> Files:
    rgb = _picture()
    return {
        "colour.bmp": _saved(rgb, "BMP"),
        "palette.bmp": _saved(rgb.quantize(16), "BMP"),
        "grey.bmp": _saved(rgb.convert("L"), "BMP"),
        "two-colours.bmp": _saved(rgb.convert("1"), "BMP"),
        "runs.bmp": bmp(20, 20, bytes([20, 7, 0, 0]) * 20 + b"\0\1", bits=8, coding=1),
        "top-down.bmp": bmp(4, -4, bytes(range(48)), bits=24, coding=0),
    }


def _shapes() -> Files:
    """As small, as thin and as long as they come."""
    sizes = ((1, 1), (1, 500), (500, 1), (2, 3), (65_500, 1), (1, 65_500))
    formats = {"JPEG": "jpg", "PNG": "png", "GIF": "gif", "TIFF": "tif", "BMP": "bmp"}
    made = {
        f"{width}x{height}.{extension}": _saved(_thin(width, height), name)
        for (width, height), (name, extension) in itertools.product(sizes, formats.items())
    }
    made["16383x1.webp"] = _saved(_thin(16_383, 1), "WEBP")
    made["1x1.webp"] = _saved(_thin(1, 1), "WEBP", lossless=True)
    return made


def _thin(width: int, height: int) -> Image.Image:
    return Image.linear_gradient("L").resize((width, height)).convert("RGB")


_NAMES = (
    "with spaces.jpg", "ümlaut.jpg", "u\u0308mlaut decomposed.jpg", "日本語.jpg", "🐈.jpg",
    "100%.jpg", "%41.jpg", "a[1].jpg", "star*.jpg", "question?.jpg", "-rf.jpg", "no extension",
    ".hidden.jpg", "quote'\".jpg", "back\\slash.jpg", "new\nline.jpg", "tab\t.jpg", "UPPER.JPG",
    "dots...jpg", "hash#t=1.jpg", "a" * 200 + ".jpg", "deep/er/and/deeper/x.jpg", "~.jpg", "$HOME",
)  # fmt: skip


def _wrong_extensions() -> Files:
    plain = _plain()
    picks = ("baseline.jpg", "mode-RGB.png", "lossy.webp", "still.gif", "raw.tif", "colour.bmp")
    wrong = itertools.cycle(("txt", "png", "jpg", "html", "exe", "gif", "heic"))
    return {
        f"wrong/{end}/{name}.{end}": plain[name]
        for name, end in zip(picks * 2, wrong, strict=False)
    }


def _large() -> Files:
    """Small files of many pixels, within the limits."""
    flat = Image.new("L", (9_000, 9_000), 77)
    return {
        "flat.jpg": _saved(flat, "JPEG"),
        "flat.png": _flat_png(9_000),
        "flat-alpha.png": _flat_png(5_000, channels=4, colour=6),
        "screen.gif": _gif_screen(9_000),
        "shared-strips.tif": _shared_strips(9_000, 9_000),
        "small-frame.webp": _webp_canvas(5_000, 5_000),
    }


# What is something else


def _other_files() -> Files:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr(zipfile.ZipInfo("a.jpg"), _WHOLE)
    box = struct.pack(">I", 24) + b"ftyp"
    rgb = _picture()
    return {
        "empty.jpg": b"",
        "one-byte.jpg": b"\xff",
        "zeros.jpg": bytes(1000),
        "ones.jpg": b"\xff" * 1000,
        "random.jpg": random.Random(0).randbytes(5000),
        "text.jpg": b"This is a text.\n" * 20,
        "bmw.bmp": b"BMW is a maker of cars, and this is a text about them.",
        "page.jpg": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "page-with-bom.jpg": b"\xef\xbb\xbf<html></html>",
        "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        "answer.jpg": b'{"error": "access denied"}',
        "paper.pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj<<>>endobj\n",
        "script.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\n",
        "archive.jpg": archive.getvalue(),
        "packed.jpg": b"\x1f\x8b\x08\0" + zlib.compress(_WHOLE),
        "program.jpg": b"\x7fELF\x02\x01\x01" + bytes(200),
        "windows.jpg": b"MZ\x90\0" + bytes(200),
        "photo.heic": box + b"heic\0\0\0\0mif1heic" + bytes(100),
        "photo.avif": box + b"avif\0\0\0\0mif1avif" + bytes(100),
        "film.mp4": box + b"isom\0\0\x02\0isomavc1" + bytes(100),
        "sound.wav": b"RIFF\x24\0\0\0WAVEfmt " + bytes(100),
        "layers.psd": b"8BPS\0\x01" + bytes(6) + struct.pack(">HIIHH", 3, _SIDE, _SIDE, 8, 3),
        "new.jxl": b"\xff\x0a" + bytes(100),
        "icon.ico": _saved(rgb, "ICO"),
        "wavelets.jp2": _saved(rgb, "JPEG2000"),
        "portable.ppm": _saved(rgb, "PPM"),
        "portable-bomb.ppm": b"P6 50000 50000 255\n",
        "targa.tga": _saved(rgb, "TGA"),
        "picture.pcx": _saved(rgb, "PCX"),
    }


# What breaks off or is damaged


def _truncated(data: bytes) -> Iterator[tuple[str, bytes]]:
    places = {
        "signature": 4,
        "long signature": 12,
        "header": 20,
        "later header": min(len(data) // 8, 60),
        "half": len(data) // 2,
        "most": len(data) * 9 // 10,
        "end": len(data) - 1,
    }
    for kind, place in places.items():
        yield kind, data[:place]


def _damaged(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    middle = len(data) // 2
    yield "zeroed head", data[:12] + bytes(20) + data[32:]
    yield "zeroed middle", data[:middle] + bytes(40) + data[middle + 40 :]
    yield "hole", data[:middle] + data[middle + 50 :]
    yield "twice", data + data
    yield "after a byte", b"\n" + data
    yield "as text", data.decode("latin-1").encode()  # what an upload in text mode does
    yield "line ends", data.replace(b"\n", b"\r\n")
    for seed in range(4):
        yield f"fuzzed {seed}", fuzzed(data, f"{name} {seed}")


def fuzzed(data: bytes, seed: str | int) -> bytes:
    """`data` with some bytes changed, half of them among the first 200."""
    chance, changed = random.Random(seed), bytearray(data)
    for _ in range(chance.choice((1, 2, 5, 20))):
        end = min(200, len(data)) if chance.random() < 0.5 else len(data)
        place = chance.randrange(2, end)
        changed[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    return bytes(changed)


# What claims to be huge, or is without end


def _bombs() -> Files:
    huge = _huge_claims()
    return {f"huge {name}": data for name, data in huge.items()} | {
        "screen.gif": b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + _plain()["still.gif"][10:],
        "no-trailer.gif": _plain()["endless.gif"][:-1],
        "frames.gif": _many_frames(20_000),
        "comment.gif": b"GIF89a\x08\0\x08\0\0\0\0!\xfe" + b"\xffx" * 400_000,
        "comments.gif": b"GIF89a\x08\0\x08\0\0\0\0" + b"!\xfe\1x\0" * 200_000,
        "junk.gif": b"GIF89a\x08\0\x08\0\0\0\0" + b"j" * 1_000_000,
        "unending-data.gif": _many_frames(1)[:-1] + b"\xff" + b"\x55" * 2_000_000,
        "scans.jpg": _scans(_saved(_picture(), "JPEG", progressive=True), 3_000),
        "scans-within-reason.jpg": _scans(_saved(_picture(), "JPEG", progressive=True), 300),
        "wide-scans.jpg": _scans(_saved(_thin(6_000, 6_000), "JPEG", progressive=True), 400),
        "segments.jpg": _WHOLE[:2] + b"\xff\xfe\0\2" * 200_000 + _WHOLE[2:],
        "junk.jpg": _WHOLE[:20] + b"\0" * 1_000_000 + _WHOLE[20:],
        "padding.jpg": _WHOLE[:2] + b"\xff" * 1_000_000 + _WHOLE[2:],
        "lossless.jpg": _frame_marker(_WHOLE, 0xC3),
        "arithmetic.jpg": _frame_marker(_WHOLE, 0xC9),
        "hierarchical.jpg": _frame_marker(_WHOLE, 0xC5),
        "two-frames.jpg": _two_frames(),
        "no-height.jpg": _sized_jpeg(64, 0),
        "chunks.png": png(8, 8, _rows(8, 8, bytes(24)), extra=chunk(b"quUx", b"") * 200_000),
        "empty-data.png": png(8, 8, b"", extra=chunk(b"IDAT", b"") * 200_000),
        "more-than-said.png": png(8, 8, bytes(50_000_000)),
        "text.png": png(8, 8, _rows(8, 8, bytes(24)), extra=_text_chunk(60_000_000)),
        "texts.png": png(8, 8, _rows(8, 8, bytes(24)), extra=_text_chunk(900_000) * 99),
        "profile.png": png(8, 8, _rows(8, 8, bytes(24)), extra=_profile_chunk(60_000_000)),
        "chunk-length.png": png(8, 8, b"")[:33] + b"\xff\xff\xff\xffIDAT",
        "run-delta.bmp": bmp(199_000_000, 1, b"\0\2\xff\xff" * 9, bits=8, coding=1),
        "runs.bmp": bmp(10_000, 10_000, b"\1\7" * 500_000, bits=8, coding=1),
        "canvas.webp": _webp_canvas(14_000, 14_000),
        "largest-canvas.webp": _webp_canvas(1 << 24, 1 << 24),
        "frames.webp": _webp_canvas(3_000, 3_000, frames=5_000),
        "strips.tif": tiff(_grey_entries(8, 8) | {273: (4, 10**9, 8), 279: (4, 10**9, 8)}, b""),
        "rows.tif": _shared_strips(1, 1_000_000),
        "tile.tif": tiff(_tile_entries(60_000, 60_000), bytes(99)),
        "samples.tif": tiff(_grey_entries(8, 8) | {277: (3, 1, 60_000)}, bytes(99)),
        "loop.tif": tiff(_grey_entries(8, 8), bytes(64), following=8),
        "entries.tif": b"II*\0\x08\0\0\0\xff\xff" + bytes(12) * 65_535,
        "overlap.tif": _overlapping_tags(2_000),
        "big-entries.tif": b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 1 << 62) + bytes(999),
        "ascii.tif": tiff(_grey_entries(8, 8) | {270: (2, (1 << 32) - 1, 8)}, bytes(64)),
    }


def _huge_claims() -> Files:
    """They claim 50,000 x 50,000 pixels, and hold none, or few, of them."""
    palette = _saved(_picture().quantize(16), "BMP")
    return {
        "baseline.jpg": _sized_jpeg(_SIDE, _SIDE),
        "progressive.jpg": _sized_jpeg(_SIDE, _SIDE, progressive=True),
        "rgb.png": png(_SIDE, _SIDE, b""),
        "with-data.png": png(_SIDE, _SIDE, bytes(10_000_000)),
        "largest.png": png((1 << 31) - 1, (1 << 31) - 1, b""),
        "bits.png": png(_SIDE, _SIDE, b"", bits=1, colour=0),
        "frame.gif": _many_frames(1, side=_SIDE),
        "colour.bmp": bmp(_SIDE, _SIDE, b"", bits=24, coding=0),
        "top-down.bmp": bmp(_SIDE, -_SIDE, b"", bits=24, coding=0),
        "negative.bmp": bmp(-_SIDE, _SIDE, b"", bits=24, coding=0),
        "palette.bmp": palette[:18] + struct.pack("<II", _SIDE, _SIDE) + palette[26:],
        "runs.bmp": bmp(_SIDE, _SIDE, b"\xff\7" * 99, bits=8, coding=1),
        "canvas.webp": _webp_canvas(_SIDE, _SIDE),
        "lossless.webp": _lossless_webp(16_384, 16_384),
        "grey.tif": tiff(_grey_entries(_SIDE, _SIDE), bytes(99)),
        "shared-strips.tif": _shared_strips(_SIDE, _SIDE),
        "largest.tif": tiff(_grey_entries((1 << 32) - 1, (1 << 32) - 1), bytes(99)),
    }


def _metadata() -> Files:
    """Exif, profiles and the like that are broken or grow when they are read."""
    bomb, small = _exif_bomb(), _rows(8, 8, bytes(24))
    segment = b"\xff\xe1" + struct.pack(">H", len(bomb) + 8) + b"Exif\0\0" + bomb
    without_density = b"\xff\xd8" + segment + _WHOLE[20:]
    digits = b"\nexif\n" + str(len(bomb)).encode() + b"\n" + (b"Exif\0\0" + bomb).hex().encode()
    raw = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(digits))
    rgb, orientations = _picture(), {}
    for value in (0, 1, 6, 9, 65_535):
        exif = Image.Exif()
        exif[274] = value
        orientations[f"orientation-{value}.jpg"] = _saved(rgb, "JPEG", exif=exif)
    return orientations | {
        "exif.jpg": without_density,
        "exifs.jpg": b"\xff\xd8" + segment * 20 + _WHOLE[20:],
        "exif.png": png(8, 8, small, extra=chunk(b"eXIf", bomb)),
        "raw-exif.png": png(8, 8, small, extra=raw),
        "exif.webp": _saved(rgb, "WEBP", exif=b"Exif\0\0" + bomb),
        "exif-nonsense.png": png(8, 8, small, extra=chunk(b"eXIf", b"nonsense" * 99)),
        "exif-loop.jpg": _saved(rgb, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\1\0" + _to_itself()),
        "profile.jpg": _saved(rgb, "JPEG", icc_profile=b"nonsense" * 50_000),
        "profile.tif": _saved(rgb, "TIFF", icc_profile=b"nonsense" * 50_000),
        "comment.jpg": _saved(rgb, "JPEG", comment=b"x" * 65_000),
        "thumbnail.jpg": _saved(rgb, "JPEG", exif=b"Exif\0\0" + _WHOLE),
    }


# Building blocks


def chunk(name: bytes, content: bytes) -> bytes:
    """Of a PNG."""
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def png(
    width: int, height: int, rows: bytes, bits: int = 8, colour: int = 2, extra: bytes = b"",
    interlaced: bool = False,
) -> bytes:  # fmt: skip
    """A PNG of these scan lines, each with its filter byte; `extra` are whole chunks."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    parts = (chunk(b"IHDR", header), extra, chunk(b"IDAT", zlib.compress(rows)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def _rows(width: int, height: int, row: bytes) -> bytes:
    return (b"\0" + row) * height


def _flat_png(side: int, channels: int = 1, colour: int = 0) -> bytes:
    return png(side, side, bytes((1 + side * channels) * side), colour=colour)


def _text_chunk(length: int) -> bytes:
    return chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * length))


def _profile_chunk(length: int) -> bytes:
    return chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(length)))


def bmp(width: int, height: int, pixels: bytes, bits: int, coding: int) -> bytes:
    """A BMP with a palette of 256 greys where it has eight bits."""
    palette = b"".join(bytes([n, n, n, 0]) for n in range(256)) if bits == 8 else b""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, coding, 0, 0, 0, 0, 0)
    start = 14 + len(info) + len(palette)
    return struct.pack("<2sIII", b"BM", start + len(pixels), 0, start) + info + palette + pixels


Entries = dict[int, tuple[int, int, int]]  # type, count and value or offset, by tag


def tiff(entries: Entries, pixels: bytes, order: str = "<", following: int = 0) -> bytes:
    """A TIFF whose directory comes first; 0 as the value of tag 273 or 324 means the pixels."""
    start = 8 + 2 + 12 * len(entries) + 4
    directory = b""
    for tag, (kind, count, value) in sorted(entries.items()):
        value = start if tag in (273, 324) and not value else value
        code = "HH" if kind == 3 else "I"
        values = (value, 0) if kind == 3 else (value,)
        directory += struct.pack(f"{order}HHI{code}", tag, kind, count, *values)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    parts = struct.pack(order + "H", len(entries)), directory, struct.pack(order + "I", following)
    return head + b"".join(parts) + pixels


def _grey_entries(width: int, height: int) -> Entries:
    length = min(width * height, (1 << 32) - 1)
    return {
        256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1),
        273: (4, 1, 0), 277: (3, 1, 1), 278: (4, 1, height), 279: (4, 1, length),
    }  # fmt: skip


def _tile_entries(width: int, height: int) -> Entries:
    entries = _grey_entries(8, 8) | {322: (4, 1, width), 323: (4, 1, height), 324: (4, 1, 0),
                                     325: (4, 1, 256), 259: (3, 1, 5)}  # fmt: skip
    return {tag: entry for tag, entry in entries.items() if tag not in (273, 278, 279)}


def _tiled() -> bytes:
    entries = _tile_entries(16, 16) | {259: (3, 1, 1)}
    return tiff(entries, bytes(range(256)))


def _shared_strips(width: int, height: int) -> bytes:
    """Rows of zeros that are all one and the same strip of the file."""
    rows_each = max(1, min(height, 1_000_000 // width))
    packed, count = zlib.compress(bytes(width * rows_each)), -(-height // rows_each)
    entries = _grey_entries(width, height) | {259: (3, 1, 8), 278: (4, 1, rows_each)}
    start = 8 + 2 + 12 * len(entries) + 4
    entries |= {273: (4, count, start), 279: (4, count, start + 4 * count)}
    if count == 1:
        entries |= {273: (4, 1, start), 279: (4, 1, len(packed))}
        return tiff(entries, packed)
    offsets = struct.pack("<I", start + 8 * count) * count
    return tiff(entries, offsets + struct.pack("<I", len(packed)) * count + packed)


def _overlapping_tags(count: int) -> bytes:
    """Each tag claims nearly all of the file."""
    length = 12 * count
    tags = {40_000 + n: (7, length, 8) for n in range(count)}
    return tiff(_grey_entries(8, 8) | tags, bytes(64))


def _exif_bomb() -> bytes:
    """An Exif block of 65,000 bytes whose tags come to a third of a gigabyte."""
    count = 5_400
    entries = b"".join(struct.pack("<HHII", n + 1000, 7, 64_000, 8) for n in range(count))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", count) + entries + bytes(4)


def _to_itself() -> bytes:
    return struct.pack("<HHII", 0x8769, 4, 1, 8) + struct.pack("<I", 8)


def _sized_jpeg(width: int, height: int, progressive: bool = False) -> bytes:
    data = _saved(_picture(), "JPEG", progressive=progressive)
    at = data.index(b"\xff\xc2" if progressive else b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def _frame_marker(data: bytes, marker: int) -> bytes:
    at = data.index(b"\xff\xc0")
    return data[: at + 1] + bytes([marker]) + data[at + 2 :]


def _two_frames() -> bytes:
    """A small frame's header, then that of a large one."""
    at = _WHOLE.index(b"\xff\xc0")
    length = 2 + struct.unpack(">H", _WHOLE[at + 2 : at + 4])[0]
    frame = _WHOLE[at : at + length]
    other = frame[:5] + struct.pack(">HH", 8_000, 8_000) + frame[9:]
    return _WHOLE[:at] + frame + other + _WHOLE[at + length :]


def _scans(progressive: bytes, count: int) -> bytes:
    """Its last scan `count` times."""
    start = progressive.rindex(b"\xff\xda")
    return progressive[:start] + progressive[start:-2] * count + progressive[-2:]


def _gif_screen(side: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", side, side) + _many_frames(1)[10:]


def _many_frames(count: int, side: int = 1) -> bytes:
    """Frames of one pixel, or of as many as are claimed."""
    frame = b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x44\x01\0"
    head = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    loop = b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
    return head + loop + frame * count + b";"


def _riff(chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def _webp_canvas(width: int, height: int, frames: int = 1) -> bytes:
    """An animation whose canvas is much larger than its frames."""
    still = _saved(_thin(16, 16), "WEBP")[12:]
    sides = _three(15) + _three(15)
    head = b"VP8X" + struct.pack("<IB3x", 10, 2) + _three(width - 1) + _three(height - 1)
    frame = _three(0) + _three(0) + sides + _three(40) + b"\0" + still
    packed = b"ANMF" + struct.pack("<I", len(frame)) + frame
    return _riff(head + b"ANIM" + struct.pack("<IIH", 6, 0, 0) + packed * frames)


def _lossless_webp(width: int, height: int) -> bytes:
    bits = (width - 1) | (height - 1) << 14
    content = b"\x2f" + struct.pack("<I", bits) + bytes(51)
    return _riff(b"VP8L" + struct.pack("<I", len(content)) + content)


def _three(number: int) -> bytes:
    return number.to_bytes(3, "little")
