"""Every event that any release has ever written still decodes, and to the same value."""

import json

import pytest

from porter.events.catalogue import EVENT_TYPES, VERSIONS
from porter.events.codec import decode_commit
from tests.golden.record import FOLDER, path_of, plain

SAMPLES = sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_decodes_to_what_it_meant(path):
    sample = json.loads(path.read_text())
    commit = decode_commit(bytes.fromhex(sample["blob"]))
    (envelope,) = commit.events
    assert (envelope.position, envelope.epoch, envelope.causation) == (41877, 8, 41876)
    assert plain(envelope.payload) == sample["payload"]


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_type_has_a_sample_of_every_version(name):
    for version in range(1, VERSIONS[name] + 1):
        assert path_of(name, version).exists(), (
            f"{name} version {version} has no golden sample: run python -m tests.golden.record, and check it in"
        )
