"""The anchor's form outside of the journal: one JSON object, in the Lease's annotation or in a file."""

from __future__ import annotations

import msgspec

from porter.ports import Anchor, AnchorUnavailable

ANCHOR_ANNOTATION = "porter.io/anchor"


class _Form(msgspec.Struct, gc=False):
    genesis: str
    epoch: int
    position: int
    hash: str
    speakers: tuple[str, ...] = ()


class InvalidAnchor(AnchorUnavailable):
    """What stands where the anchor should is none: it is never taken for "no journal yet"."""


def encode_anchor(anchor: Anchor) -> str:
    """Encode an anchor with its fields' names, for people."""
    return msgspec.json.encode(anchor._asdict()).decode()


def decode_anchor(text: str | None) -> Anchor | None:
    """Decode an anchor; None where there is no text.

    Raises:
        InvalidAnchor: the text is no anchor.
    """
    if text is None:
        return None
    try:
        form = msgspec.json.decode(text, type=_Form)
    except msgspec.DecodeError as error:
        raise InvalidAnchor(
            f"the anchor is damaged: {error}; restore the annotation {ANCHOR_ANNOTATION} of the Lease (or the file)"
        ) from error
    return Anchor(form.genesis, form.epoch, form.position, form.hash, form.speakers)
