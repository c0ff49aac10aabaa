"""What the figures were measured on."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

from benchmarks.speed.measuring import CORES

_LIBRARIES = ("tensorflow", "openvino", "keras", "apache-beam", "pillow")


def describe() -> str:
    """The processor, its cores and the libraries, in a line."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES]
    return (
        f"{_processor()}, {CORES} cores, Python {platform.python_version()}, {', '.join(versions)}"
    )


def _processor() -> str:
    """As Linux calls it, with what speeds bfloat16 up."""
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    lines = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
    found = {name.strip(): value.strip() for name, value in lines.items()}
    fast = [name for name in ("avx512_bf16", "amx_bf16") if name in found.get("flags", "").split()]
    return (
        f"{found.get('model name', platform.machine())} with {' and '.join(fast) or 'no bfloat16'}"
    )
