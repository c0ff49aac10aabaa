"""A film's frames in their order, or a named reason why not.

A film is read by FFmpeg's libraries, through PyAV, from wherever `storage` reads; no film is ever
loaded whole. Only containers that hold their own data are opened: a playlist, which FFmpeg would
follow to other files and addresses, is no film here.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from captioner import storage
from captioner.errors import UserError
from captioner.images import ImageError, Limits, Reason
from captioner.threads import Clock
from captioner.videos.frames import Frame

if TYPE_CHECKING:
    import av

# Pixels are those of 8K and a little more: a decoder keeps up to sixteen frames, of 1.5 bytes a
# pixel. The seconds are for what comes from one frame to the next.
LIMITS = Limits(pixels=36_000_000)
_CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg"
# Before a time that is sought: the frames of up to so many seconds may be stored out of order.
MARGIN = 1.0
# How much less than it says a film may hold: its length is rounded, and may be that of its sound.
_TOLERANCE = 1.0
# Containers that hold no length, nor the times of all frames, so that FFmpeg's is a guess.
_UNTOLD = ("mpeg", "mpegvideo")
_FAST = 20  # frames a second: of these some may be missed


class Film:
    """A film that is open.

    Args:
        container: PyAV's.
        limits: of its pixels.
        clock: counts the seconds from one frame to the next, with the limit of them.

    Attributes:
        seconds: its length as its file says; 0 where it doesn't.
        end: of the last frame that was come to, in seconds from the film's start.
        problem: why it breaks off, once `frames` came to where it does.

    Raises:
        ImageError: there is no film in it, or too large a one.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        limits: Limits,
        clock: Clock,
    ) -> None:
        import av

        self._container = container
        self._limits = limits
        self._clock = clock
        self._stream = _video(container)
        coder = self._stream.codec_context
        limits.check_size(coder.width, coder.height)
        self._zero = (container.start_time or 0) / av.time_base
        self._stream.thread_type = "AUTO"
        coder.options = {"max_pixels": str(limits.pixels)}
        self._seen = 0.0  # where packets of any stream end
        self._decoding = 0  # the time stamp that the decoder has come to
        self._damage = ""  # what was wrong with the last packet that had something wrong
        known = 0 if container.format.name in _UNTOLD else container.duration
        self.seconds = (known or 0) / av.time_base
        self.end = 0.0
        self.problem: ImageError | None = None

    def frames(self) -> Iterator[Frame]:
        """Its frames from where it is, each later than the one before; none that is damaged.

        Raises:
            ImageError: there is none. Where a film breaks off after some, `problem` tells.
        """
        last, self.problem = -1.0, None
        try:
            for frame in self._decoded():
                if frame.start > last:
                    last, self.end = frame.start, max(self.end, frame.end)
                    yield frame
        except ImageError as error:
            self.problem = error
        if last < 0:
            raise self.problem or _without_frames(self._damage)
        self._check_whole()

    def length(self) -> float:
        """Seconds, as the file says, or else where its last frame ends; reads to the end for that.

        Raises:
            ImageError: there is no frame.
        """
        if not self.seconds:
            with contextlib.suppress(ImageError):  # where it breaks off is where it ends
                for _ in self._packets():
                    self._clock.restart()
        if not (self.seconds or self.end):
            raise _without_frames("")
        return self.seconds or self.end

    def decode_fewer(self) -> None:
        """Leave out the frames that no other is made of, which halves the work of decoding.

        Those that are left are some hundredths of a second apart; does nothing to slow films.
        """
        if (self._stream.average_rate or 0) >= _FAST:
            self._stream.codec_context.skip_frame = "NONREF"

    def seek(self, seconds: float) -> bool:
        """Go to some whole frame before a time, as near as the file tells; False if it doesn't.

        Raises:
            OSError: the store fails.
        """
        try:
            self._container.seek(self._stamp(seconds), stream=self._stream)
        except (_errors(), OSError, ValueError, OverflowError) as error:  # or no such time stamp
            if not _is_of_the_film(error):
                raise
            return False
        self._decoding = 0
        return True

    def skip_to(self, seconds: float) -> None:
        """Let frames go by that nobody looks at, up to those before `seconds`.

        Does nothing where the next whole frame that decoding can begin with is later, or unknown.
        """
        index, wanted = self._stream.index_entries, self._stamp(seconds - MARGIN)
        with contextlib.suppress(OverflowError):
            place = index.search_timestamp(wanted)
            if place >= 0 and index[place].timestamp > self._decoding:
                self.seek(seconds - MARGIN)

    def _stamp(self, seconds: float) -> int:
        return int((seconds + self._zero) / self._stream.time_base)

    def _decoded(self) -> Iterator[Frame]:
        """Frames in the order in which they are shown.

        Raises:
            ImageError: the film breaks off, or what comes now is too large or takes too long.
        """
        self._clock.restart()
        for packet in self._packets():
            for frame in self._decode(packet):
                self._clock.restart()
                yield frame
                self._clock.restart()  # what is done with a frame doesn't count
            if self._clock.left() <= 0:
                message = f"over {self._clock.seconds:g} seconds without a frame"
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
        except (_errors(), OSError, ValueError) as error:
            if not _is_of_the_film(error):
                raise
            problem = ImageError(Reason.TRUNCATED, f"the film breaks off: {_said(error)}")
        except IndexError:  # PyAV's, at the end of a film in whose midst some sound began
            pass
        yield None
        if problem:
            raise problem

    def _note_end(self, packet: av.Packet) -> None:
        if packet.dts is not None:
            end = (packet.dts if packet.pts is None else packet.pts) + (packet.duration or 0)
            seconds = float(end * packet.time_base) - self._zero
            self._seen = max(self._seen, seconds)
            if packet.stream is self._stream:
                self.end = max(self.end, seconds)

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
def opened(uri: str, limits: Limits = LIMITS, clock: Clock | None = None) -> Iterator[Film]:
    """The film at `uri`, for the length of a `with` block; see `Film`.

    Args:
        limits: of its pixels, and of the seconds from one frame to the next.
        clock: counts these instead, by a limit of its own. It stands still while the file is read,
            as a store that is away is no fault of the film.

    Raises:
        ImageError: it is none, or can't be read as one.
        OSError: the store fails.
        UserError: PyAV is not installed.
    """
    clock = clock or Clock(limits.seconds)
    with clock.pause():
        file = storage.open(uri)
    with file, _container(_File(file, clock)) as container:
        yield Film(container, limits, clock)


class _File:
    """A film's file as PyAV takes it, with a clock that stands still while it is read."""

    def __init__(self, file: BinaryIO, clock: Clock) -> None:
        self._file, self._clock = file, clock
        self.seek, self.tell = file.seek, file.tell  # which read nothing
        self.name = getattr(file, "name", "")

    def read(self, count: int) -> bytes:
        with self._clock.pause():
            return self._file.read(count)


def _container(file: _File) -> av.container.InputContainer:
    if not file.read(1):
        raise ImageError(Reason.EMPTY, "the file is empty")
    file.seek(0)
    av = _av()
    only = {"format_whitelist": _CONTAINERS, "protocol_whitelist": ""}
    try:
        return av.open(file, container_options=only, metadata_errors="replace", io_open=_refuse)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if not _is_of_the_film(error):
            raise
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


def _is_of_the_film(error: Exception) -> bool:
    """Whether the film is to blame, and not its store: also for a place that no file can have."""
    is_stores = isinstance(error, OSError) and error.errno != errno.EINVAL
    return isinstance(error, _errors()) or not is_stores


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _errors() -> type[Exception]:
    return _av().error.FFmpegError


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise UserError("films are read by PyAV: pip install 'captioner[video]'") from error
    return av
