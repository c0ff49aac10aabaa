"""How soon the command answers."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.speed.inputs import Inputs
from benchmarks.speed.measuring import Result, captioner, in_turns, seconds

_LOAD = """
import sys, tensorflow
from captioner.model import Captioner
Captioner.load(sys.argv[1])
"""


def measure(inputs: Inputs, rounds: int) -> list[Result]:
    """Help, and one image captioned."""
    model = inputs.model()
    photo = next(inputs.photos.iterdir())
    load = [sys.executable, "-c", _LOAD, str(model)]
    contestants = {
        "help": lambda: seconds(lambda: captioner("--help")),
        "caption": lambda: seconds(lambda: captioner("caption", photo, "--model", model)),
        "load": lambda: seconds(lambda: subprocess.run(load, check=True, capture_output=True)),
    }
    found = in_turns(contestants, rounds)
    told = f"{found['caption']:.1f} and {found['load']:.1f} s"
    ratio = found["caption"] / found["load"]
    return [
        Result("captioner --help, seconds", found["help"], 0.3, "from start to end", at_most=True),
        Result("caption one image / import and load", ratio, 1.2, told, at_most=True),
    ]
