"""A film's frames in their order, or a named reason why not.

A film is read by FFmpeg's libraries, through PyAV, from wherever `storage` reads; no film is ever
loaded whole. Only containers that hold their own data are opened: a playlist, which FFmpeg would
follow to other files and addresses, is no film here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from captioner import storage
from captioner.errors import UserError
from captioner.images import ImageError, Limits, Reason
from captioner.videos.frames import Frame

if TYPE_CHECKING:
    import av

# Pixels are those of 8K and a little more: a decoder keeps up to sixteen frames, of 1.5 bytes a
# pixel. The seconds are for what comes from one frame to the next.
LIMITS = Limits(pixels=36_000_000)
_CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg"
# Before a time that is sought: the frames of up to so many seconds may be stored out of order.
_MARGIN = 1.0
# How much less than it says a film may hold: its length is rounded, and may be that of its sound.
_TOLERANCE = 1.0


class Film:
    """A film that is open.

    Args:
        container: PyAV's.
        limits: of its pixels, and of the seconds from one frame to the next.

    Attributes:
        seconds: its length as its file says; 0 where it doesn't.
        end: of the last frame that was decoded, in seconds from the film's start.
        problem: why it breaks off, once `frames` came to where it does.

    Raises:
        ImageError: there is no film in it, or too large a one.
    """

    def __init__(self, container: av.container.InputContainer, limits: Limits = LIMITS) -> None:
        import av

        self._container = container
        self._limits = limits
        self._stream = _video(container)
        coder = self._stream.codec_context
        limits.check_size(coder.width, coder.height)
        self._zero = (container.start_time or 0) / av.time_base
        self._seen = 0.0  # where packets of any stream end
        self._decoding = 0  # the time stamp that the decoder has come to
        self._damage = ""  # what was wrong with the last packet that had something wrong
        self.seconds = (container.duration or 0) / av.time_base
        self.end = 0.0
        self.problem: ImageError | None = None

    def frames(self) -> Iterator[Frame]:
        """Its frames, each later than the one before. Those that are damaged are left out.

        Raises:
            ImageError: there is none. Where a film breaks off after some, `problem` tells.
        """
        last = -1.0
        try:
            for frame in self._decoded():
                if frame.start > last:
                    last, self.end = frame.start, frame.end
                    yield frame
        except ImageError as error:
            self.problem = error
        if last < 0:
            raise self.problem or _without_frames(self._damage)
        self._check_whole()

    def skip_to(self, seconds: float) -> None:
        """Let frames go by that nobody looks at, up to those before `seconds`.

        Does nothing where the next whole frame that decoding can begin with is later, or unknown.
        """
        index = self._stream.index_entries
        wanted = int((seconds - _MARGIN + self._zero) / self._stream.time_base)
        with contextlib.suppress(_errors(), OverflowError):  # of a time stamp that can't be
            place = index.search_timestamp(wanted)
            if place >= 0 and index[place].timestamp > self._decoding:
                self._container.seek(wanted, stream=self._stream)

    def _decoded(self) -> Iterator[Frame]:
        """Frames in the order in which they are shown.

        Raises:
            ImageError: the film breaks off, or what comes now is too large or takes too long.
        """
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.options = {"max_pixels": str(self._limits.pixels)}
        began = time.monotonic()
        for packet in self._packets():
            for frame in self._decode(packet):
                yield frame
                began = time.monotonic()
            if time.monotonic() - began > self._limits.seconds:
                message = f"over {self._limits.seconds:g} seconds without a frame"
                raise ImageError(Reason.TIMED_OUT, message)

    def _packets(self) -> Iterator[av.Packet | None]:
        """What is coded, of the pictures; at last None, for what the decoder holds back."""
        problem = None
        try:
            for packet in self._container.demux():
                self._note_end(packet)
                if packet.stream is self._stream and packet.size:
                    self._decoding = packet.dts or self._decoding
                    yield packet
        except _errors() as error:
            problem = ImageError(Reason.TRUNCATED, f"the film breaks off: {error.strerror}")
        except IndexError:  # PyAV's, at the end of a film in whose midst some sound began
            pass
        yield None
        if problem:
            raise problem

    def _note_end(self, packet: av.Packet) -> None:
        if packet.dts is not None:
            end = (packet.dts if packet.pts is None else packet.pts) + (packet.duration or 0)
            self._seen = max(self._seen, float(end * packet.time_base) - self._zero)

    def _decode(self, packet: av.Packet | None) -> list[Frame]:
        """The frames that a packet completes; none where it is damaged."""
        try:
            pictures = self._stream.decode(packet)
        except _errors() as error:
            self._damage = error.strerror
            return []
        for picture in pictures:
            self._limits.check_size(picture.width, picture.height)
        if any(picture.is_corrupt for picture in pictures):
            self._damage = "they are damaged"
        whole = (picture for picture in pictures if not picture.is_corrupt)
        return [self._frame(picture) for picture in whole if picture.pts is not None]

    def _frame(self, picture: av.VideoFrame) -> Frame:
        # By the stream's unit: those that the decoder held back to the end have none.
        unit, rate = float(self._stream.time_base), self._stream.guessed_rate
        start = max(0.0, picture.pts * unit - self._zero)
        length = picture.duration * unit or (1 / float(rate) if rate else 0.0)
        return Frame(start, start + length, picture)

    def _check_whole(self) -> None:
        if not self.problem and self.seconds - self._seen > _TOLERANCE:
            message = f"the film breaks off at {self._seen:.1f} of {self.seconds:.1f} seconds"
            self.problem = ImageError(Reason.TRUNCATED, message)


@contextlib.contextmanager
def opened(uri: str, limits: Limits = LIMITS) -> Iterator[Film]:
    """The film at `uri`, for the length of a `with` block.

    Raises:
        ImageError: it is none, or can't be read as one.
        OSError: the store fails.
        UserError: PyAV is not installed.
    """
    with storage.open(uri) as file, _container(file) as container:
        yield Film(container, limits)


def _container(file: BinaryIO) -> av.container.InputContainer:
    if not file.read(1):
        raise ImageError(Reason.EMPTY, "the file is empty")
    file.seek(0)
    av = _av()
    only = {"format_whitelist": _CONTAINERS, "protocol_whitelist": ""}
    try:
        return av.open(file, container_options=only, metadata_errors="replace", io_open=_refuse)
    except av.error.FFmpegError as error:
        message = "not a film that is read here, or one whose beginning or end is missing"
        raise ImageError(Reason.NOT_AN_IMAGE, message) from error


def _refuse(*_: Any) -> None:
    raise PermissionError("a film may name no other file")


def _video(container: av.container.InputContainer) -> av.VideoStream:
    """The film's pictures; that on the cover of a record is none."""
    import av

    cover = av.stream.Disposition.attached_pic
    found = [one for one in container.streams.video if not one.disposition & cover]
    if not found or not found[0].codec_context:
        raise ImageError(Reason.NOT_AN_IMAGE, "there is no film in the file")
    return found[0]


def _without_frames(damage: str) -> ImageError:
    if damage:
        return ImageError(Reason.CORRUPT, f"none of its frames can be decoded: {damage}")
    return ImageError(Reason.EMPTY, "there is no frame in the film")


def _errors() -> type[Exception]:
    return _av().error.FFmpegError


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise UserError("films are read by PyAV: pip install 'captioner[video]'") from error
    return av
