"""Each oddity is a file made here; what is asserted are the pixels that come out."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from captioner.images import (
    LIGHT,
    LIMITS,
    DecodedImage,
    ImageError,
    Limits,
    Reason,
    TooHeavy,
    content_hash,
    decode,
    from_array,
    from_pil,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255)
HEIGHT, WIDTH = 40, 60


def upright() -> np.ndarray:
    """Red at the top left, blue at the top right, green below."""
    pixels = np.full((HEIGHT, WIDTH, 3), GREEN, np.uint8)
    pixels[: HEIGHT // 2, : WIDTH // 2] = RED
    pixels[: HEIGHT // 2, WIDTH // 2 :] = BLUE
    return pixels


def picture() -> Image.Image:
    return Image.fromarray(upright())


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def corner(decoded: DecodedImage, row: int, column: int) -> np.ndarray:
    """The colour of one quarter, away from its edges: (0, 0) is the top left."""
    size = len(decoded.pixels)
    return decoded.pixels[size // 4 + row * size // 2, size // 4 + column * size // 2].astype(int)


def assert_colour(found: np.ndarray, expected: tuple[int, int, int], within: int = 6) -> None:
    assert np.abs(found - np.array(expected)).max() <= within, f"{found} is not {expected}"


def assert_upright(decoded: DecodedImage) -> None:
    assert decoded.pixels.shape == (32, 32, 3) and decoded.pixels.dtype == np.uint8
    assert (decoded.width, decoded.height) == (WIDTH, HEIGHT)
    assert_colour(corner(decoded, 0, 0), RED)
    assert_colour(corner(decoded, 0, 1), BLUE)
    assert_colour(corner(decoded, 1, 0), GREEN)
    assert_colour(corner(decoded, 1, 1), GREEN)


def refusal(data: bytes, limits: Limits = LIMITS) -> Reason:
    with pytest.raises(ImageError) as caught:
        decode(data, 32, limits)
    assert str(caught.value)
    return caught.value.reason


def tiff(
    pixels: bytes, width: int, height: int, bits: int, compression: int = 1, photometric: int = 1
) -> bytes:
    """A little-endian grey TIFF of one strip, its directory before its pixels."""
    at = 8 + 2 + 12 * 8 + 4
    entries = [(256, width), (257, height), (258, bits), (259, compression), (262, photometric),
               (273, at), (277, 1), (279, len(pixels))]  # fmt: skip
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + pixels


def png(
    pixels: bytes, width: int, height: int, bits: int, colour: int, extra: bytes = b""
) -> bytes:
    """A PNG of these scan lines, each with its filter byte; `extra` are whole chunks."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = (chunk(b"IHDR", header), extra, chunk(b"IDAT", zlib.compress(pixels)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def chunk(name: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def noisy(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8))


WHOLE = {
    "jpeg": saved(noisy(), "JPEG"),
    "jpeg progressive": saved(noisy(), "JPEG", progressive=True),
    "jpeg with metadata": saved(noisy(), "JPEG", exif=Image.Exif(), comment=b"a comment"),
    "png": saved(noisy(), "PNG"),
    "png palette": saved(noisy().quantize(16), "PNG"),
    "webp": saved(noisy(), "WEBP"),
    "webp lossless": saved(noisy(), "WEBP", lossless=True),
    "webp animated": saved(noisy(), "WEBP", save_all=True, append_images=[noisy(1)]),
    "gif": saved(noisy(), "GIF"),
    "gif animated": saved(noisy(), "GIF", save_all=True, append_images=[noisy(1)]),
    "bmp": saved(noisy(), "BMP"),
    "bmp palette": saved(noisy().quantize(16), "BMP"),
    "tiff": saved(noisy(), "TIFF"),
    "tiff lzw": saved(noisy(), "TIFF", compression="tiff_lzw"),
    "tiff deflate": saved(noisy(), "TIFF", compression="tiff_adobe_deflate"),
}


# What is read


@pytest.mark.parametrize("file_format", ["PNG", "GIF", "TIFF", "BMP"])
def test_lossless_formats(file_format: str) -> None:
    assert_upright(decode(saved(picture(), file_format), 32))


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("WEBP", {}),
        ("TIFF", {"compression": "jpeg"}),
    ],
)
def test_lossy_formats(file_format: str, options: dict[str, object]) -> None:
    decoded = decode(saved(picture(), file_format, quality=95, **options), 32)
    assert (decoded.width, decoded.height) == (WIDTH, HEIGHT)
    assert_colour(corner(decoded, 0, 0), RED, within=12)
    assert_colour(corner(decoded, 1, 1), GREEN, within=12)


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "TIFF", "PNG", "MPO"])
def test_only_the_first_frame_is_read(file_format: str) -> None:
    first, second = Image.new("RGB", (60, 40), RED), Image.new("RGB", (60, 40), BLUE)
    data = saved(first, file_format, save_all=True, append_images=[second])
    assert_colour(corner(decode(data, 32), 0, 0), RED)


def test_a_large_jpeg_keeps_its_colours_and_its_size() -> None:
    large = picture().resize((2400, 1600), Image.Resampling.NEAREST)
    decoded = decode(saved(large, "JPEG", quality=95), 32)
    assert (decoded.width, decoded.height) == (2400, 1600)
    assert_colour(corner(decoded, 0, 0), RED)
    assert_colour(corner(decoded, 0, 1), BLUE)
    assert_colour(corner(decoded, 1, 0), GREEN)


def test_an_image_smaller_than_asked_for_is_enlarged() -> None:
    decoded = decode(saved(Image.new("RGB", (1, 2), BLUE), "PNG"), 32)
    assert (decoded.width, decoded.height) == (1, 2)
    assert (decoded.pixels == BLUE).all()


def test_the_picture_is_squashed_not_cropped() -> None:
    pixels = np.full((20, 200, 3), GREEN, np.uint8)
    pixels[:, :20], pixels[:, 180:] = RED, BLUE
    decoded = decode(saved(Image.fromarray(pixels), "PNG"), 40)
    assert_colour(decoded.pixels[20, 1].astype(int), RED)
    assert_colour(decoded.pixels[20, 38].astype(int), BLUE)


# Exif orientation. What is stored, by the standard: which sides of the upright picture
# its first row and first column are.
STORED = {
    1: lambda up: up,  # top, left
    2: lambda up: up[:, ::-1],  # top, right
    3: lambda up: up[::-1, ::-1],  # bottom, right
    4: lambda up: up[::-1],  # bottom, left
    5: lambda up: up.transpose(1, 0, 2),  # left, top
    6: lambda up: np.rot90(up),  # right, top
    7: lambda up: up[::-1, ::-1].transpose(1, 0, 2),  # right, bottom
    8: lambda up: np.rot90(up, -1),  # left, bottom
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("JPEG", {"quality": 100, "subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_orientation(orientation: int, file_format: str, options: dict[str, object]) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright())))
    assert_upright(decode(saved(stored, file_format, exif=exif, **options), 32))


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nonsense"]
)
def test_broken_metadata_costs_no_image(exif: bytes) -> None:
    assert_upright(decode(saved(picture(), "PNG", exif=exif), 32))


def test_an_orientation_that_is_no_orientation_is_ignored() -> None:
    exif = Image.Exif()
    exif[274] = 77
    assert_upright(decode(saved(picture(), "PNG", exif=exif), 32))


# Modes


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_cmyk(file_format: str) -> None:
    """Pillow writes a CMYK JPEG as Adobe does, inverted; a TIFF holds the inks as they are."""
    inks = np.zeros((40, 60, 4), np.uint8)
    inks[:20, :30] = (0, 255, 255, 0)
    inks[:20, 30:] = (255, 255, 0, 0)
    data = saved(Image.fromarray(inks, "CMYK"), file_format)
    if file_format == "JPEG":
        assert b"Adobe" in data
    decoded = decode(data, 32)
    assert_colour(corner(decoded, 0, 0), RED)
    assert_colour(corner(decoded, 0, 1), BLUE)
    assert_colour(corner(decoded, 1, 0), WHITE)


def test_lab() -> None:
    lab = Image.new("LAB", (20, 20), (137, 209, 198))  # red: L 54 %, a 81, b 70
    assert_colour(corner(decode(saved(lab, "TIFF"), 32), 0, 0), RED, within=10)


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF", "GIF"])
def test_palette(file_format: str) -> None:
    assert_upright(decode(saved(picture().quantize(8), file_format), 32))


@pytest.mark.parametrize(
    ("file_format", "transparency"), [("PNG", 0), ("PNG", b"\x00\xff"), ("GIF", 0)]
)
def test_transparent_palette_is_white(file_format: str, transparency: int | bytes) -> None:
    indices = np.ones((40, 60), np.uint8)
    indices[:20] = 0
    image = Image.fromarray(indices, "P")
    image.putpalette([0, 0, 0, *RED])
    decoded = decode(saved(image, file_format, transparency=transparency), 32)
    assert_colour(corner(decoded, 0, 0), WHITE)
    assert_colour(corner(decoded, 1, 0), RED)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize(
    ("file_format", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})]
)
def test_alpha_is_laid_onto_white(mode: str, file_format: str, options: dict[str, object]) -> None:
    alpha = np.zeros((40, 60), np.uint8)
    alpha[20:] = 255
    alpha[20:, 30:] = 128
    image = Image.new("RGB", (60, 40), "black")
    image.putalpha(Image.fromarray(alpha))
    decoded = decode(saved(image.convert(mode), file_format, **options), 32)
    assert_colour(corner(decoded, 0, 0), WHITE)
    assert_colour(corner(decoded, 1, 0), (0, 0, 0))
    assert_colour(corner(decoded, 1, 1), (127, 127, 127))


@pytest.mark.parametrize("mode", ["RGB", "L", "1"])
def test_a_transparent_colour_is_white(mode: str) -> None:
    image = Image.new("RGB", (60, 40), "white")
    image.paste("black", (0, 0, 60, 20))
    key = (0, 0, 0) if mode == "RGB" else 0
    decoded = decode(saved(image.convert(mode), "PNG", transparency=key), 32)
    assert (decoded.pixels == 255).all()


@pytest.mark.parametrize("mode", ["L", "1"])
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP", "GIF"])
def test_grey_and_two_colours(mode: str, file_format: str) -> None:
    image = Image.new("L", (60, 40), 255)
    image.paste(0, (0, 0, 60, 20))
    decoded = decode(saved(image.convert(mode), file_format), 32)
    assert_colour(corner(decoded, 0, 0), (0, 0, 0))
    assert_colour(corner(decoded, 1, 0), WHITE)


@pytest.mark.parametrize("bits", [12, 16])
def test_deep_grey_is_scaled_not_clipped(bits: int) -> None:
    levels = [0, 2 ** (bits - 2), 2 ** (bits - 1), 2**bits - 1]
    packed = "".join(f"{level:0{bits}b}" for level in levels)
    row = bytes(int(packed[at : at + 8], 2) for at in range(0, len(packed), 8))
    if bits == 16:
        row = np.frombuffer(row, ">u2").astype("<u2").tobytes()
    decoded = decode(tiff(row * 4, 4, 4, bits), 4)
    assert decoded.pixels[0, :, 0].tolist() == [0, 64, 128, 255]


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_16_bit_grey(file_format: str) -> None:
    levels = np.repeat(np.array([[0, 0x4000, 0x8000, 0xFFFF]], np.uint16), 4, 0)
    decoded = decode(saved(Image.fromarray(levels), file_format), 4)
    assert decoded.pixels[0].tolist() == [[0] * 3, [64] * 3, [128] * 3, [255] * 3]


def test_16_bit_colour_and_alpha() -> None:
    rgba = [(0xFFFF, 0, 0x8000, 0xFFFF), (0, 0, 0, 0)]
    row = b"\0" + b"".join(struct.pack(">4H", *pixel) for pixel in rgba)
    decoded = decode(png(row * 2, 2, 2, bits=16, colour=6), 2)
    assert decoded.pixels[0].tolist() == [[255, 0, 128], [255, 255, 255]]


def test_a_transparent_colour_of_16_bits_costs_no_image() -> None:
    key = chunk(b"tRNS", struct.pack(">3H", 0xFFFF, 0, 0))
    row = b"\0" + struct.pack(">3H", 0, 0, 0xFFFF)
    decoded = decode(png(row, 1, 1, bits=16, colour=2, extra=key), 2)
    assert (decoded.pixels == BLUE).all()


@pytest.mark.parametrize("levels", [(0, 500, 1000), (-1.0, 0.0, 1.0), (float("nan"), 0.5, 1.0)])
def test_32_bit_grey_is_stretched_from_black_to_white(levels: tuple[float, ...]) -> None:
    kind = np.int32 if isinstance(levels[0], int) else np.float32
    data = saved(Image.fromarray(np.repeat(np.array([levels], kind), 3, 0)), "TIFF")
    found = decode(data, 3).pixels[0, :, 0].tolist()
    assert found == ([0, 0, 255] if np.isnan(levels[0]) else [0, 128, 255])


def test_32_bit_grey_of_no_numbers_is_corrupt() -> None:
    nothing = Image.fromarray(np.full((4, 4), np.nan, np.float32))
    assert refusal(saved(nothing, "TIFF")) is Reason.CORRUPT


# What is refused


def test_nothing_at_all_is_empty() -> None:
    assert refusal(b"") is Reason.EMPTY


@pytest.mark.parametrize(
    "data",
    [
        b"<html><body>404 Not Found</body></html>",
        b"BMW is a maker of cars, and this is a text about them.",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        saved(picture(), "ICO"),
        saved(picture(), "JPEG2000"),
        saved(picture(), "PPM"),
        saved(picture(), "TGA"),
        saved(picture(), "PCX"),
        b"RIFF\x24\0\0\0WAVEfmt ",
        bytes(1000),
    ],
)
def test_other_kinds_of_file_are_not_images(data: bytes) -> None:
    assert refusal(data) is Reason.NOT_AN_IMAGE


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_files_are_read(kind: str) -> None:
    assert decode(WHOLE[kind], 16).pixels.std() > 0


@settings(max_examples=40, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_that_breaks_off_is_truncated(kind: str, data: st.DataObject) -> None:
    """Wherever it breaks off; unless all pixels are there and only an end mark is missing."""
    whole = WHOLE[kind]
    part = whole[: data.draw(st.integers(20, len(whole) - 1))]
    try:
        pixels = decode(part, 16).pixels
    except ImageError as error:
        assert error.reason is Reason.TRUNCATED
    else:
        assert np.array_equal(pixels, decode(whole, 16).pixels)
        assert kind.startswith(("png", "gif"))


def test_a_compressed_tiff_whose_directory_comes_first_breaks_off() -> None:
    packed = zlib.compress(np.random.default_rng(0).bytes(64 * 64))
    whole = tiff(packed, 64, 64, bits=8, compression=8)
    assert decode(whole, 16).pixels.std() > 0
    assert refusal(whole[:-1000]) is Reason.TRUNCATED


def test_damage_is_told_from_truncation() -> None:
    whole = WHOLE["png"]
    middle = len(whole) // 2
    assert refusal(whole[:middle] + bytes(64) + whole[middle + 64 :]) is Reason.CORRUPT
    precision = WHOLE["jpeg"].index(b"\xff\xc0") + 4
    damaged = WHOLE["jpeg"][:precision] + b"\x07" + WHOLE["jpeg"][precision + 1 :]
    assert refusal(damaged) is Reason.CORRUPT


def test_limits_are_inclusive() -> None:
    data = saved(Image.new("RGB", (30, 20), RED), "PNG")
    assert decode(data, 8, Limits(bytes=len(data), pixels=600)).width == 30
    assert refusal(data, Limits(bytes=len(data) - 1)) is Reason.TOO_LARGE
    assert refusal(data, Limits(pixels=599)) is Reason.TOO_LARGE


def huge_headers() -> dict[str, bytes]:
    """Files that claim 50,000 x 50,000 pixels and hold none of them."""
    side = 50_000
    jpeg = WHOLE["jpeg"]
    frame = jpeg.index(b"\xff\xc0") + 5
    webp = WHOLE["webp animated"]
    canvas = (side - 1).to_bytes(3, "little")
    return {
        "png": png(b"", side, side, bits=8, colour=2),
        "jpeg": jpeg[:frame] + struct.pack(">HH", side, side) + jpeg[frame + 4 :],
        "webp": webp[:24] + canvas + canvas + webp[30:],
        "gif": b"GIF89a" + struct.pack("<HH", side, side) + WHOLE["gif"][10:],
        "bmp": WHOLE["bmp"][:18] + struct.pack("<II", side, side) + WHOLE["bmp"][26:],
        "tiff": tiff(b"\0", side, side, bits=8),
    }


@pytest.mark.parametrize("kind", huge_headers())
def test_bombs_are_refused_by_their_headers(kind: str) -> None:
    assert refusal(huge_headers()[kind]) is Reason.TOO_LARGE


HEAVY = {
    "rgb.png": png(b"", 8_000, 7_000, bits=8, colour=2),
    "rgba.png": png(b"", 6_000, 6_000, bits=8, colour=6),
    "deep.tif": tiff(b"\0", 8_000, 8_000, bits=16),
    "one strip.tif": tiff(b"\0", 7_000, 7_000, bits=8, compression=8),
    "progressive.jpg": saved(Image.new("RGB", (7_000, 7_000)), "JPEG", progressive=True),
    "photo.webp": huge_headers()["webp"][:24] + b"\x87\x13\0" * 2 + huge_headers()["webp"][30:],
}


@pytest.mark.parametrize("kind", HEAVY)
def test_what_takes_much_memory_is_told_by_its_headers(kind: str) -> None:
    with pytest.raises(TooHeavy, match="memory"):
        decode(HEAVY[kind], 32, LIGHT)


def test_common_photos_are_light() -> None:
    for data in (*WHOLE.values(), saved(Image.new("RGB", (4_000, 3_000)), "JPEG")):
        decode(data, 32, LIGHT)
    rest = {"webp": 4_000 * 3_000, "png": 7_000 * 7_000}
    for file_format, pixels in rest.items():
        flat = Image.new("RGB", (pixels // 3_000, 3_000))
        assert decode(saved(flat, file_format), 32, LIGHT).height == 3_000


def test_a_jpeg_of_absurdly_many_scans_is_refused_without_decoding_it() -> None:
    whole = WHOLE["jpeg progressive"]
    last = whole.rindex(b"\xff\xda")
    scans = whole[:last] + whole[last:-2] * 501 + whole[-2:]
    with pytest.raises(TooHeavy, match="scans, over 500"):
        decode(scans, 32)
    assert decode(whole, 32).pixels.std() > 0


def test_a_jpeg_is_not_blamed_for_what_follows_it() -> None:
    """As telephones append films, which hold any bytes."""
    for kind in ("jpeg", "jpeg progressive"):
        assert decode(WHOLE[kind] + b"\xff\xda\0\x08" * 1_000, 32, LIGHT).width == 64


@pytest.mark.parametrize("coding", ["group4", "lzma"])
def test_rare_codings_are_not_decoded_in_threads(coding: str) -> None:
    data = saved(picture().convert("1"), "TIFF", compression=coding)
    with pytest.raises(TooHeavy, match="rare"):
        decode(data, 32, LIGHT)
    assert decode(data, 32).width == WIDTH


def test_exif_that_grows_when_it_is_read_costs_neither_memory_nor_the_image() -> None:
    entries = b"".join(struct.pack("<HHII", tag + 1000, 7, 60_000, 8) for tag in range(5_000))
    bomb = b"II*\0\x08\0\0\0" + struct.pack("<H", 5_000) + entries + bytes(4)
    tracemalloc.start()
    try:
        assert_upright(decode(saved(picture(), "PNG", exif=bomb), 32, LIGHT))
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_a_large_photo_within_the_limit_is_read_without_a_warning() -> None:
    """Pillow itself warns at 89 million pixels and refuses at 179 million."""
    data = saved(Image.new("L", (13_500, 13_500), 77), "JPEG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decoded = decode(data, 16)
    assert decoded.width == 13_500
    assert_colour(corner(decoded, 0, 0), (77, 77, 77))


BROKEN_TIFFS = {
    "directory": (WHOLE["tiff"][:150], b"truncated\n"),  # of which Pillow warns
    "samples": (WHOLE["tiff"].replace(b"\x15\1\3\0\1\0\0\0\3", b"\x15\1\3\0\1\0\0\0\x63"),
                b"corrupt\n"),  # which Pillow logs
    "strip": (tiff(b"nonsense", 8, 8, bits=8, compression=8), b"corrupt\n"),  # libtiff prints
}  # fmt: skip


@pytest.mark.parametrize(("data", "reason"), BROKEN_TIFFS.values(), ids=BROKEN_TIFFS)
def test_broken_files_say_nothing_on_the_error_stream(data: bytes, reason: bytes) -> None:
    program = (
        "import sys\nfrom captioner.images import decode, ImageError\n"
        "try: decode(sys.stdin.buffer.read(), 16)\n"
        "except ImageError as error: print(error.reason)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], input=data, capture_output=True, check=True
    )
    assert (run.stdout, run.stderr) == (reason, b"")


def test_which_reasons_are_permanent() -> None:
    assert {reason for reason in Reason if not reason.permanent} == {"unreadable", "missing"}


def test_an_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(ImageError(Reason.CORRUPT, "a message")))
    assert (error.reason, str(error)) == (Reason.CORRUPT, "a message")


# Whatever the bytes


def pixels_or_reason(data: bytes) -> np.ndarray | Reason:
    try:
        decoded = decode(data, 16, Limits(pixels=1_000_000))
    except ImageError as error:
        assert error.reason.permanent
        return error.reason
    assert decoded.pixels.shape == (16, 16, 3) and decoded.pixels.dtype == np.uint8
    assert decoded.width > 0 and decoded.height > 0
    return decoded.pixels


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([b"", *(whole[:20] for whole in WHOLE.values())]), st.binary(max_size=400))
def test_random_bytes_end_as_pixels_or_a_reason(start: bytes, rest: bytes) -> None:
    pixels_or_reason(start + rest)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("kind", WHOLE)
def test_damaged_files_end_as_pixels_or_a_reason(kind: str, data: st.DataObject) -> None:
    damaged = bytearray(WHOLE[kind])
    # Half of the damage goes into the headers, where it does most.
    places = st.one_of(st.integers(4, 200), st.integers(4, len(damaged) - 1))
    for place in data.draw(st.lists(places, min_size=1, max_size=8)):
        damaged[place] = data.draw(st.integers(0, 255))
    pixels_or_reason(bytes(damaged))


def test_threads_get_what_one_thread_gets() -> None:
    files = [data for whole in WHOLE.values() for data in (whole, whole[: len(whole) // 2])] * 4
    alone = [pixels_or_reason(data) for data in files]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(pixels_or_reason, files))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_pillow_is_left_as_it_was() -> None:
    pillows_own = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    pixels_or_reason(WHOLE["jpeg"])
    refusal(WHOLE["jpeg"][:-9])
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == pillows_own
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


# Other ways in


def test_from_pil_takes_the_same_road_and_leaves_the_image_alone() -> None:
    exif = Image.Exif()
    exif[274] = 6
    large = Image.fromarray(np.ascontiguousarray(np.rot90(upright()))).resize((400, 600))
    image = Image.open(io.BytesIO(saved(large, "JPEG", exif=exif)))
    decoded = from_pil(image, 32)
    assert (decoded.width, decoded.height) == (600, 400)
    assert_colour(corner(decoded, 0, 0), RED)
    assert image.size == (400, 600) and image.getexif()[274] == 6


def test_from_pil_refuses_a_broken_image() -> None:
    image = Image.open(io.BytesIO(WHOLE["jpeg"][:-100]))
    with pytest.raises(ImageError) as caught:
        from_pil(image, 32)
    assert caught.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize("channels", [3, 4])
def test_from_array(channels: int) -> None:
    opaque = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    assert_upright(from_array(np.concatenate([upright(), opaque], 2)[..., :channels], 32))


def test_from_array_of_grey() -> None:
    decoded = from_array(np.full((10, 20), 99, np.uint8), 4)
    assert (decoded.width, decoded.height) == (20, 10)
    assert (decoded.pixels == 99).all()


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 2), np.uint8), np.zeros(4, np.uint8)]
)
def test_from_array_refuses_what_is_no_picture(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected uint8 pixels"):
        from_array(array, 32)


def test_content_hash_is_sha256() -> None:
    assert content_hash(b"abc").startswith("ba7816bf8f01cfea414140de5dae2223")
