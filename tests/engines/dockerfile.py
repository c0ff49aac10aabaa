"""Builds an image's root directory from its Dockerfile, without a container engine.

Its instructions are carried out for real: `RUN` in a fresh Debian by chroot, `COPY` from what
`.dockerignore` lets through. Only the images that it starts from are stood in for: those of Python
by Debian's own interpreter of the same version, others by files that are given.

Needs root, and debootstrap with Debian's packages and PyPI within reach.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

# What Debian needs to be taken for Docker's image of Python.
_DEBIAN = "ca-certificates,python3-venv,python3.11-venv,python3-distutils"
_PYTHON_IMAGE = "python:3.11-slim-bookworm"
_PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
_SHARED = ("etc/hosts", "etc/resolv.conf", "etc/ssl/certs/ca-certificates.crt")

# What tells pip where packages are to be had; an image of course knows nothing of it.
_FROM_OUTSIDE = ("PIP_INDEX_URL", "PIP_CERT", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy")


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile: its word, and what follows, on one line."""

    word: str
    rest: str


def parse(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    words = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [Instruction(word.upper(), " ".join(rest.split())) for word, rest in words]


class Image:
    """A root directory, and what its Dockerfile says of processes in it.

    Args:
        root: the directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {"PATH": _PATH}
        self.directory = "/"
        self.entrypoint: list[str] = []

    def command(self, words: list[str], shared: Path | None = None) -> list[str]:
        """A command line that runs `words` in the image as a container would.

        Args:
            shared: a directory that is the same within.
        """
        mounts = [
            f"mount -t proc proc {self.root}/proc",
            f"mount -t tmpfs tmpfs {self.root}/dev/shm",
        ]
        if shared:
            within = self.root / shared.relative_to("/")
            mounts += [f"mkdir -p {within}", f"mount --bind {shared} {within}"]
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        inside = ["chroot", str(self.root), "env", "-i", "-C", self.directory, *variables, *words]
        script = " && ".join([*mounts, f'exec {shlex.join(inside)} "$@"'])
        return ["unshare", "--mount", "sh", "-c", script, "sh"]

    def run(self, words: list[str], **variables: str) -> str:
        """Run a command in the image; what it said.

        Raises:
            AssertionError: it failed.
        """
        command = self.command(["env", *(f"{k}={v}" for k, v in variables.items()), *words])
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, f"{shlex.join(words)}:\n{done.stdout[-4000:]}"
        return done.stdout


class Builder:
    """Carries out a Dockerfile.

    Args:
        context: the directory that it is in.
        scratch: where roots are made.
        given: files and directories that stand in for those of other images, by ``IMAGE:PATH``.
        arguments: values of its ``ARG``.
    """

    def __init__(
        self,
        context: Path,
        scratch: Path,
        given: Mapping[str, Path],
        arguments: Mapping[str, str],
    ) -> None:
        self.context, self.scratch = context, scratch
        self.given, self.arguments = given, arguments
        self.stages: dict[str, Image] = {}
        self.image = Image(scratch)
        self.known: dict[str, str] = {}

    def build(self) -> Image:
        """The image of the last stage."""
        for instruction in parse((self.context / "Dockerfile").read_text()):
            getattr(self, f"_{instruction.word.lower()}")(instruction.rest)
        return self.image

    def _from(self, rest: str) -> None:
        name, *alias = rest.split()
        assert name == _PYTHON_IMAGE, f"nothing stands in for {name}"
        stage = alias[1] if alias else str(len(self.stages))
        base = self._debian()
        root = self.scratch / f"stage-{stage}"
        subprocess.run(["cp", "-a", base, root], check=True)
        self.image = self.stages[stage] = Image(root)
        self.known = {}

    def _debian(self) -> Path:
        root = self.scratch / "debian"
        if not root.exists():
            packages = ["--variant=minbase", f"--include={_DEBIAN}", "bookworm", str(root)]
            subprocess.run(["debootstrap", *packages], check=True, stdout=subprocess.DEVNULL)
            Image(root).run(["python3.11", "-m", "venv", "/usr/local"])
            # Names and certificates are looked up as they are outside.
            for name in _SHARED:
                shutil.copy(f"/{name}", root / name)
        return root

    def _arg(self, rest: str) -> None:
        name, _, default = rest.partition("=")
        self.known[name] = self.arguments.get(name, default.strip('"'))

    def _env(self, rest: str) -> None:
        name, _, value = rest.partition("=")
        filled = re.sub(r"\$\{(\w+)\}", lambda found: self.known[found[1]], value)
        self.image.environment[name] = filled

    def _workdir(self, rest: str) -> None:
        (self.image.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        self.image.directory = rest

    def _run(self, rest: str) -> None:
        outside = {name: os.environ[name] for name in _FROM_OUTSIDE if name in os.environ}
        self.image.run(["sh", "-c", rest], **outside, **self.known)

    def _copy(self, rest: str) -> None:
        words = rest.split()
        source = words.pop(0).removeprefix("--from=") if words[0].startswith("--from=") else None
        *names, target = words
        into = self.image.root / self.image.directory.lstrip("/") / target.lstrip("/")
        if target.startswith("/"):
            into = self.image.root / target.lstrip("/")
        for name in names:
            found = self._source(source, name)
            _copy(found, into / found.name if target.endswith("/") else into)

    def _source(self, image: str | None, name: str) -> Path:
        if image is None:
            assert not _ignored(self.context, name), f".dockerignore keeps {name} out"
            return self.context / name
        if image in self.stages:
            return self.stages[image].root / name.lstrip("/")
        return self.given[f"{image}:{name}"]

    def _entrypoint(self, rest: str) -> None:
        self.image.entrypoint = json.loads(rest)


def _ignored(context: Path, name: str) -> bool:
    """Whether ``.dockerignore``, which names all that it lets through, keeps a file out."""
    return f"!{name}" not in (context / ".dockerignore").read_text().splitlines()


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, target, dirs_exist_ok=True, symlinks=True, ignore=ignore)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
