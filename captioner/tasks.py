"""Tasks: the list of images that one shard is made of, and its place in a run's written plan."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable
from typing import NamedTuple

from captioner import shards, storage
from captioner.errors import UserError


class Reference(NamedTuple):
    """One image to do.

    `stamp` changes when the image does, or what is known of it (captions, split). `source` is the
    file the image is inside of (a feature shard, an archive), or empty where `uri` is a file of its
    own. Images of one `group` are to be in one task: it is a part of the source, or else a checksum
    that files with the same bytes share, or empty. `after` is the run whose outcome this one is to
    replace: it makes a task of doing an image again another one than that of doing it at first.
    A `suspect` was being read when an earlier run was killed, perhaps by it. For `captions` and
    their `languages` see `corpora.CaptionedImage`.
    """

    id: str
    uri: str
    stamp: str
    source: str = ""
    group: str = ""
    split: str = ""
    after: str = ""
    suspect: bool = False
    captions: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()


_TWIN = re.compile("#twin-[0-9a-f]{8}$")


def twin_id(id: str, name: str) -> str:
    """The id of a file whose id another file has: names that differ in normalisation only."""
    return f"{id}#twin-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def shared_id(id: str) -> str:
    """The id that a `twin_id` comes from; of any other id itself."""
    return _TWIN.sub("", id)


@dataclasses.dataclass(frozen=True)
class Task:
    """The images of one shard.

    Args:
        id: names the shard; equal work has an equal id, whoever plans it.
        references: at least one, in the order of their ids, all of one split, and all or none of
            one archive or feature shard.
    """

    id: str
    references: tuple[Reference, ...]

    @property
    def split(self) -> str:
        """The split of the task's images."""
        return self.references[0].split

    @property
    def source(self) -> str:
        """The file that the task's images are inside of; without meaning where there are films."""
        return self.references[0].source

    @classmethod
    def of(cls, references: Iterable[Reference], settings: str) -> Task:
        """The task of doing `references` under `settings` (a fingerprint)."""
        ordered = tuple(sorted(references))
        content = shards.fingerprint({"settings": settings, "references": ordered})
        return cls(f"{ordered[0].split or 'images'}-{content}", ordered)

    def publish(self, plan: str, name: str) -> str:
        """Write the task into the directory `plan`, unless a task of that name is there.

        Returns:
            URI of the task that is there now, which is the one to do.
        """
        uri = storage.join(plan, f"{name}.json")
        text = json.dumps({"id": self.id, "references": self.references})
        storage.create(uri, text.encode())
        return uri

    @classmethod
    def read(cls, uri: str) -> Task:
        """The task that was published at `uri`.

        Raises:
            UserError: it is there no longer.
        """
        try:
            values = json.loads(storage.read_bytes(uri))
        except FileNotFoundError as error:
            raise UserError(
                f"{uri}: the run's plan has vanished; run the same command again"
            ) from error
        references = (Reference(*row[:-2], *map(tuple, row[-2:])) for row in values["references"])
        return cls(values["id"], tuple(references))
