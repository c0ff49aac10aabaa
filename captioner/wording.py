"""How numbers are told to people."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number and what it counts, which has a regular plural: "1 image", "2,000 images"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
