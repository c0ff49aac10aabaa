"""`captioner completion`."""

from __future__ import annotations

import argparse
from importlib import util

from captioner.cli.arguments import add_verb, verbs_of
from captioner.errors import UserError

# What is in the name of a value that is a path.
_PATHS = ("DIR", "FILE", "IMAGE", "LIST", "MODEL", "NEW", "OUT", "PATH")


def add(verbs: argparse._SubParsersAction) -> None:
    """Add the verb to the command."""
    summary = "Print the script that has a shell complete verbs, flags, values and paths."
    example = (
        "captioner completion bash > ~/.local/share/bash-completion/completions/captioner\n"
        "captioner completion zsh  > ~/.zfunc/_captioner     # a directory of $fpath\n"
        "captioner completion fish > ~/.config/fish/completions/captioner.fish"
    )
    parser = add_verb(verbs, "completion", summary, _run, example=example)
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="it is to be read by")


def _run(parsed: argparse.Namespace, _: list[str]) -> None:
    if not util.find_spec("shtab"):
        raise UserError("completion is made by shtab: pip install 'captioner[completion]'")
    import shtab

    from captioner.cli import command

    made = command.parser()
    for verb in verbs_of(made).values():
        for action in verb._actions:
            if any(name in str(action.metavar or "") for name in _PATHS):
                action.complete = shtab.FILE
    print(shtab.complete(made, parsed.shell))
