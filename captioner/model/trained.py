"""A model's directory: what the parts of a trained captioner are, reading and writing them."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from captioner import decoders, storage
from captioner.decoders import Decoder
from captioner.encoders import EncoderSpec, weights_fingerprint
from captioner.errors import UserError
from captioner.vocabulary import Vocabulary

FORMAT = 1

_DESCRIPTION = "model.json"
_VOCABULARY = "vocabulary.json"
_DECODER = "decoder.weights.h5"
_ENCODER = "encoder.weights.h5"


@dataclasses.dataclass(frozen=True)
class Description:
    """What a model is: the values of ``model.json``, with the fingerprints of the other files.

    Args:
        decoder: its name, a key of `decoders.DECODERS`.
        settings: those it was created with.
        encoder: what makes the features it reads.
        feature_shape: of one image's features.
        training: what it was trained on, how, and what came out; for people.
    """

    decoder: str
    settings: dict[str, Any]
    encoder: EncoderSpec
    feature_shape: tuple[int, ...]
    training: dict[str, Any]

    def create_decoder(self, vocabulary: Vocabulary) -> Decoder:
        """The described decoder with fresh weights."""
        return decoders.create(self.decoder, len(vocabulary), self.feature_shape, **self.settings)

    def check_encoder(self, encoder: EncoderSpec) -> None:
        """See that features made by `encoder` are those that the model was trained on.

        Raises:
            UserError: they are not.
        """
        if encoder.fingerprint != self.encoder.fingerprint:
            raise UserError(
                f"the model was trained on features of another encoder ({self.encoder}; these are "
                f"of {encoder}); extract the features with that one, or train on these"
            )

    def to_json(self) -> dict[str, Any]:
        """The description as JSON values."""
        return {**dataclasses.asdict(self), "feature_shape": list(self.feature_shape)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Description:
        """The inverse of `to_json`; other values are left alone."""
        known = {field.name: values[field.name] for field in dataclasses.fields(cls)}
        known["encoder"] = EncoderSpec.from_json(known["encoder"])
        known["feature_shape"] = tuple(known["feature_shape"])
        return cls(**known)


@dataclasses.dataclass(frozen=True)
class Trained:
    """What training makes.

    Args:
        description: what the model is.
        decoder: the network, with its weights.
        vocabulary: of its tokens.
        encoder_weights: URI of the weights of the described encoder.
    """

    description: Description
    decoder: Decoder
    vocabulary: Vocabulary
    encoder_weights: str

    @classmethod
    def load(cls, directory: str) -> Trained:
        """What `save` wrote to `directory`, a URI.

        Raises:
            UserError: there is no model, or not a whole one of this version.
        """
        description, fingerprints = _read_description(directory)
        vocabulary = Vocabulary.load(storage.join(directory, _VOCABULARY))
        decoder = _load_decoder(description, vocabulary, storage.join(directory, _DECODER))
        if fingerprints != _fingerprints(vocabulary, decoder):
            raise UserError(f"{directory}: files of different trainings; train the model again")
        return cls(description, decoder, vocabulary, storage.join(directory, _ENCODER))

    def save(self, directory: str) -> None:
        """Write the files to `directory`, a URI, replacing those that are there."""
        encoder_weights = storage.read_bytes(self.encoder_weights)
        storage.replace(storage.join(directory, _ENCODER), encoder_weights)
        self.vocabulary.save(storage.join(directory, _VOCABULARY))
        with tempfile.TemporaryDirectory(prefix="captioner-") as temporary:
            local = Path(temporary) / _DECODER
            self.decoder.save_weights(local)
            storage.replace(storage.join(directory, _DECODER), local.read_bytes())
        fingerprints = _fingerprints(self.vocabulary, self.decoder)
        values = {
            "format": FORMAT,
            **self.description.to_json(),
            "vocabulary_size": len(self.vocabulary),
            "fingerprints": fingerprints,
        }
        text = json.dumps(values, indent=1, ensure_ascii=False) + "\n"
        storage.replace(storage.join(directory, _DESCRIPTION), text.encode())


def load_alike(directories: Sequence[str]) -> list[Trained]:
    """The models of some directories, which have the same tokens and read the same features.

    Raises:
        UserError: one can't be loaded, or two are not alike.
    """
    first, *others = map(Trained.load, directories)
    for directory, other in zip(directories[1:], others, strict=True):
        both = f"{directories[0]} and {directory}"
        if other.vocabulary.fingerprint != first.vocabulary.fingerprint:
            raise UserError(f"{both}: {_ALIKE}; these know different words")
        if other.description.encoder.fingerprint != first.description.encoder.fingerprint:
            raise UserError(f"{both}: {_ALIKE}; these look through different encoders")
    return [first, *others]


_ALIKE = "models that caption together are trained on the same features, with the same --min-count"


def _read_description(directory: str) -> tuple[Description, dict[str, str]]:
    """The description, and the fingerprints of the files beside it."""
    file = storage.join(directory, _DESCRIPTION)
    try:
        values = json.loads(storage.read_bytes(file))
        if values.get("format") != FORMAT:
            raise UserError(f"{file}: of another version of captioner; train the model again")
        return Description.from_json(values), values["fingerprints"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"{directory}: no model here (there is no {_DESCRIPTION}); "
            "make one with `captioner train`"
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{file}: not a model's description; train the model again") from error


def _load_decoder(description: Description, vocabulary: Vocabulary, file: str) -> Decoder:
    decoder = description.create_decoder(vocabulary)
    try:
        with storage.local_copy(file) as local:
            decoder.load_weights(local)
    except (ValueError, OSError, KeyError) as error:
        raise UserError(
            f"{file}: missing, or not this model's weights; train the model again"
        ) from error
    return decoder


def _fingerprints(vocabulary: Vocabulary, decoder: Decoder) -> dict[str, str]:
    return {"vocabulary": vocabulary.fingerprint, "decoder": weights_fingerprint(decoder)}
