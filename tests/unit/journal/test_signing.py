"""Signatures of heads: made by one key, checked by the public one, and by no other."""

import subprocess

import pytest

from porter.events.envelope import Head
from porter.journal.signing import InvalidKey, Verifier, load_signer, make_key

HEAD = Head("0f" * 16, 3, 41877, bytes(range(32)))


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "signing-key.pem"
    make_key(path)
    return path


def test_a_key_is_made_once_and_for_its_owner_alone(key):
    assert key.stat().st_mode & 0o777 == 0o600
    before = key.read_bytes()
    make_key(key)
    assert key.read_bytes() == before


def test_a_signature_holds_for_its_head_and_its_key_alone(key, tmp_path):
    signed = load_signer(key).sign(HEAD)
    assert (signed.epoch, signed.position, signed.hash) == (3, 41877, HEAD.hash.hex())
    checks = Verifier([key.with_suffix(".pub")])
    assert checks.problem(HEAD.genesis, signed) == ""
    for other in (signed._replace(position=41878), signed._replace(epoch=4), signed._replace(hash="00" * 32)):
        assert "no valid signature" in checks.problem(HEAD.genesis, other)
    assert "no valid signature" in checks.problem("other", signed)
    assert "no valid signature" in checks.problem(HEAD.genesis, signed._replace(signature="no hex"))
    make_key(tmp_path / "other.pem")
    assert "is not among those" in Verifier([tmp_path / "other.pub"]).problem(HEAD.genesis, signed)


def test_openssl_reads_the_keys_as_the_page_says(key, tmp_path):
    public = tmp_path / "by-openssl.pub"
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    assert public.read_bytes() == key.with_suffix(".pub").read_bytes()
    made = tmp_path / "made.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", made], check=True)
    made.chmod(0o400)
    assert load_signer(made).sign(HEAD).position == 41877


def test_a_key_that_is_none_names_the_mend(key, tmp_path):
    with pytest.raises(InvalidKey, match="cannot be read"):
        load_signer(tmp_path / "absent")
    key.chmod(0o644)
    with pytest.raises(InvalidKey, match="is open to others"):
        load_signer(key)
    (tmp_path / "text").write_text("no key")
    (tmp_path / "text").chmod(0o600)
    with pytest.raises(InvalidKey, match="openssl genpkey"):
        load_signer(tmp_path / "text")
    with pytest.raises(InvalidKey, match="no public key"):
        Verifier([tmp_path / "text"])
    subprocess.run(["openssl", "genpkey", "-algorithm", "x25519", "-out", tmp_path / "x"], check=True)
    (tmp_path / "x").chmod(0o600)
    with pytest.raises(InvalidKey, match="another kind"):
        load_signer(tmp_path / "x")
