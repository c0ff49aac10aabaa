"""Decoding in a child process, for images that may take too long, too much memory, or the process.

The child is `python -m captioner.isolation FD`: a fresh interpreter, since to fork a process with
threads isn't safe, and one that imports the user's program again isn't wanted. Parent and child
talk over a pair of sockets. A message is the length of its header and of its body, each of four
bytes, big-endian; the header, JSON; the body, bytes. A request is `{"size", "limits"}` and the
file, the answer `{"width", "height"}` and the pixels, or `{"reason", "message"}`. For a frame of a
film it is `{"size", "limits", "film", "seconds"}`, and for a film's length `{"limits", "film"}`,
answered by `{"seconds"}`. Before these answers come `{"goes_on", "reading"}`: for how many seconds
it may go on from now, and whether the film's file is read. So it is told as frames before the one
that is wanted are decoded, and around each reading, which doesn't count as decoding: where the
store is away, the film is not to blame.
"""

from __future__ import annotations

from captioner.isolation.child import main
from captioner.isolation.decoder import IsolatedDecoder, shared

__all__ = ["IsolatedDecoder", "main", "shared"]
