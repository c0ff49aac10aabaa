"""The `captioner` command: a module a verb, and what they share in `arguments`.

TensorFlow, Keras and Beam are imported by the verbs that need them, when they run, so that help and
mistakes answer at once.
"""

from captioner.cli.command import main

__all__ = ["main"]
