"""The answer about the journal's readers: who they are, what each does not read yet, and what is held back for them."""

from __future__ import annotations

from porter.app.answer_json import Json
from porter.app.read_model import ReadModel
from porter.app.upgrade.activation import ITSELF, Reading
from porter.events import schema


def readers(model: ReadModel, reading: Reading | None) -> Json:
    """Every live reader, what was activated, and what is held back; nothing is known without a `reading`."""
    activated = model.state.ledger.activated
    live = {} if reading is None else reading.readers.live()
    held = () if reading is None else reading.activation.held_back(activated)
    mine = schema.reads()
    return {
        "position": model.state.ledger.position,
        "known": reading is not None and reading.readers.known,
        "readers": [
            {
                "name": one.name,
                "release": one.release,
                "declared": one.declared,
                "position": one.position,
                "silentSeconds": round(one.silent_s),
                "problem": one.problem,
                "doesNotRead": sorted(name for name, version in mine.items() if one.reads.get(name, 0) < version),
            }
            for one in live.values()
        ],
        "activated": [{"type": name, "version": version} for name, version in sorted(activated.items())],
        "heldBack": [
            {"type": one.type, "version": one.version, "written": one.written, "message": one.message}
            for one in held
            if one.type != ITSELF
        ],
    }
