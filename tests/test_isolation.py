"""A child that crashes, hangs and eats memory for real, and a parent that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from captioner import images, isolation, videos
from captioner.images import ImageError, Limits, Reason
from captioner.isolation import IsolatedDecoder
from tests import odd_images

# Decodes as ever, but for some files. Each decoding leaves its process's id in a file.
CHILD = """
import ctypes, os, signal, sys, time
from captioner import images, isolation

def eat_memory():
    held = []
    while True:
        held.append(bytearray(1 << 24))

DEEDS = {
    b"segfault": lambda: ctypes.string_at(0),
    b"abort": os.abort,
    b"hang": lambda: time.sleep(600),
    b"memory": eat_memory,
    b"exit": lambda: os._exit(3),
    b"killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    b"print": lambda: (os.write(1, b"noise"), os.write(2, b"noise")),
}
decode = images.decode

def decode_or_do(data, size, limits):
    with open(sys.argv[1], "a") as log:
        log.write(f"{os.getpid()}\\n")
    for name, deed in DEEDS.items():
        if data.startswith(name):
            deed()
            data = data.removeprefix(name)
    return decode(data, size, limits)

images.decode = decode_or_do
isolation.main(int(sys.argv[2]))
"""
IMAGE = odd_images.kinds()["plain/mode-RGB.png"]


class Child:
    """A decoder whose child does what the file says."""

    def __init__(self, directory: Path) -> None:
        program, self._log = directory / "child.py", directory / "log.txt"
        program.write_text(CHILD)
        self._log.touch()
        limits = Limits(seconds=20.0, memory=256 << 20)
        self.command = (sys.executable, str(program), str(self._log))
        self.decoder = IsolatedDecoder(limits, self.command)

    def processes(self) -> list[int]:
        """Of each image so far, the process that decoded it."""
        return [int(line) for line in self._log.read_text().split()]

    def reason(self, data: bytes) -> Reason:
        with pytest.raises(ImageError) as caught:
            self.decoder.decode(data, 16)
        assert str(caught.value) and caught.value.reason.permanent
        return caught.value.reason


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    made = Child(tmp_path)
    yield made
    made.decoder.close()


@pytest.fixture
def decoder() -> Iterator[IsolatedDecoder]:
    made = IsolatedDecoder()
    yield made
    made.close()


def is_running(process: int) -> bool:
    """Whether it is there and not a zombie, which a container may keep."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(process: int) -> None:
    deadline = time.monotonic() + 60
    while is_running(process):
        assert time.monotonic() < deadline, "the child outlives its parent"
        time.sleep(0.05)


def test_its_pixels_are_those_of_a_thread(decoder: IsolatedDecoder) -> None:
    for name, data in odd_images.valid().items():
        if name.startswith("plain/"):
            here, there = images.decode(data, 16), decoder.decode(data, 16)
            assert np.array_equal(here.pixels, there.pixels), name
            assert (here.width, here.height) == (there.width, there.height)
            assert there.pixels.flags.writeable


def test_its_reasons_are_those_of_a_thread(decoder: IsolatedDecoder) -> None:
    for data in (b"", b"a text", IMAGE[:-60], odd_images.kinds()["bombs/huge rgb.png"]):
        with pytest.raises(ImageError) as here:
            images.decode(data, 16)
        with pytest.raises(ImageError) as there:
            decoder.decode(data, 16)
        assert (here.value.reason, str(here.value)) == (there.value.reason, str(there.value))


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        (b"segfault", Reason.CRASHED),
        (b"abort", Reason.CRASHED),
        (b"memory", Reason.TOO_LARGE),
    ],
)
def test_only_the_culprit_is_lost(child: Child, deed: bytes, reason: Reason) -> None:
    assert child.decoder.decode(IMAGE, 16).width == 64
    assert child.reason(deed) is reason
    assert child.decoder.decode(IMAGE, 16).width == 64


def test_what_takes_too_long_is_ended(child: Child) -> None:
    child.decoder = IsolatedDecoder(Limits(seconds=0.5), child.command)
    assert child.reason(b"hang") is Reason.TIMED_OUT
    assert not is_running(child.processes()[-1])
    child.decoder.close()


SLOWLY = """
import io, sys, time
from captioner import isolation, storage

class Slow(io.FileIO):
    def read(self, *arguments):
        time.sleep(0.4)
        return super().read(*arguments)

storage.open = Slow
isolation.main(int(sys.argv[1]))
"""


def test_a_far_frame_of_a_film_may_take_its_time(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from tests import films

    film = films.of_one_keyframe(tmp_path / "film.mp4")
    decoder = IsolatedDecoder(Limits(seconds=3.0), (sys.executable, "-c", SLOWLY))
    began = time.monotonic()
    frame = decoder.decode_frame(str(film), 9.0, 16)
    assert time.monotonic() - began > 3.0, "else this shows nothing"
    decoder.close()
    assert np.array_equal(frame.pixels, videos.frame_at(str(film), 9.0, 16).pixels)


AWAY = """
import io, sys, time
from captioner import isolation, storage

class Away(io.FileIO):
    was = False

    def read(self, *arguments):
        time.sleep(0 if self.was else float(sys.argv[1]))
        self.was = True
        return super().read(*arguments)

storage.open = Away
isolation.child._SECONDS_TO_READ = float(sys.argv[2])
isolation.main(int(sys.argv[3]))
"""


def test_a_film_is_not_blamed_for_a_store_that_is_away(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from tests import films

    film = str(films.write(tmp_path / "film.mp4", [(films.RED, 1.0)]))
    command = (sys.executable, "-c", AWAY)
    decoder = IsolatedDecoder(Limits(seconds=3.0), (*command, "4", "600"))
    began = time.monotonic()
    assert decoder.decode_frame(film, 0.0, 16).width == 64
    assert time.monotonic() - began > 3.0, "else this shows nothing"
    decoder.close()
    decoder = IsolatedDecoder(Limits(seconds=60.0), (*command, "600", "1"))
    with pytest.raises(ImageError, match="reading it") as caught:
        decoder.decode_frame(film, 0.0, 16)
    assert caught.value.reason is Reason.UNREADABLE


FOR_EVER = """
import sys, av
from captioner import isolation

def read_for_ever(file, **options):
    while True:
        file.seek(0)
        file.read(1 << 16)

av.open = read_for_ever
isolation.main(int(sys.argv[1]))
"""


def test_what_reads_a_film_again_and_again_is_ended(tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "film.mp4").write_bytes(bytes(1 << 16))
    decoder = IsolatedDecoder(Limits(seconds=1.0), (sys.executable, "-c", FOR_EVER))
    with pytest.raises(ImageError) as caught:
        decoder.decode_frame(str(tmp_path / "film.mp4"), 0.0, 16)
    assert caught.value.reason is Reason.TIMED_OUT


def test_a_films_length_is_that_which_a_thread_finds(
    decoder: IsolatedDecoder, tmp_path: Path
) -> None:
    pytest.importorskip("av")
    from tests import films

    scenes = [(films.RED, 6.5)]
    plain = films.write(tmp_path / "film.mpg", scenes, "mpeg2video")
    raw = films.write(tmp_path / "raw.m2v", scenes, "mpeg2video")  # which doesn't tell its length
    for film in (plain, raw.rename(tmp_path / "raw.mpg")):
        with videos.opened(str(film)) as opened:
            assert decoder.length(str(film)) == opened.length() > 1.0
    (tmp_path / "none.mp4").write_text("no film")
    with pytest.raises(ImageError, match="not a film"):
        decoder.length(str(tmp_path / "none.mp4"))


def test_a_film_that_is_gone_is_missing(decoder: IsolatedDecoder, tmp_path: Path) -> None:
    pytest.importorskip("av")
    for film, reason in ((tmp_path / "film.mp4", Reason.MISSING), (tmp_path, Reason.UNREADABLE)):
        with pytest.raises(ImageError) as caught:
            decoder.decode_frame(str(film), 0.0, 16)
        assert caught.value.reason is reason and not reason.permanent


def test_one_child_serves_image_after_image_and_a_crash_brings_a_fresh_one(child: Child) -> None:
    for _ in range(3):
        child.decoder.decode(IMAGE, 16)
    assert len(set(child.processes())) == 1
    child.reason(b"segfault")
    child.decoder.decode(IMAGE, 16)
    *_, first, again, after = child.processes()
    assert len({first, again, after}) == 3, "a crash is tried once more, in a fresh child"


def test_an_image_is_not_blamed_for_what_an_earlier_one_left(child: Child) -> None:
    child.decoder.decode(IMAGE, 16)
    os.kill(child.processes()[-1], signal.SIGSEGV)
    assert child.decoder.decode(IMAGE, 16).width == 64


@pytest.mark.parametrize("deed", [b"exit", b"killed"])
def test_an_end_from_outside_is_no_fault_of_the_image(child: Child, deed: bytes) -> None:
    with pytest.raises(OSError, match="was ended"):
        child.decoder.decode(deed, 16)
    assert child.decoder.decode(IMAGE, 16).width == 64


def test_what_libraries_print_does_no_harm(child: Child, capfd: pytest.CaptureFixture) -> None:
    assert child.decoder.decode(b"print" + IMAGE, 16).width == 64
    assert capfd.readouterr() == ("", "")


def test_a_child_that_does_not_start_is_no_fault_of_the_image(capfd: object) -> None:
    with pytest.raises(OSError, match="doesn't start: exit status 7"):
        IsolatedDecoder(command=("/bin/sh", "-c", "exit 7")).decode(IMAGE, 16)


def test_it_starts_wherever_the_process_is(
    decoder: IsolatedDecoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    assert decoder.decode(IMAGE, 16).width == 64


def test_threads_wait_for_each_other(child: Child) -> None:
    with ThreadPoolExecutor(4) as threads:
        decoded = list(threads.map(lambda _: child.decoder.decode(IMAGE, 16), range(20)))
    assert all(np.array_equal(one.pixels, decoded[0].pixels) for one in decoded)
    assert len(set(child.processes())) == 1


def test_closing_waits_for_who_decodes_and_ends_the_child(child: Child) -> None:
    child.decoder.decode(IMAGE, 16)
    threading.Thread(target=child.decoder.decode, args=(IMAGE, 16)).start()
    child.decoder.close()
    child.decoder.decode(IMAGE, 16)
    child.decoder.close()
    assert not any(is_running(process) for process in child.processes())


PARENT = """
import sys
from captioner.images import Limits
from captioner.isolation import IsolatedDecoder
*command, data = sys.argv[1:]
IsolatedDecoder(Limits(), command).decode(data.encode(), 16)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="sees processes in /proc")
def test_the_child_ends_with_its_parent_however_that_ends(child: Child) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, *child.command, "hang"])
    while not child.processes():
        assert parent.poll() is None
        time.sleep(0.05)
    process = child.processes()[0]
    assert is_running(process)
    parent.kill()
    parent.wait()
    wait_until_gone(process)


def test_the_process_has_one_of_its_own() -> None:
    assert isolation.shared() is isolation.shared()
