"""Every reason code is documented, and the page is up to date."""

from __future__ import annotations

from pathlib import Path

from porter.model.meanings import GROUPS, meaning_of, reference_page
from porter.model.reasons import Reason

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "reasons.md"


def test_every_code_stands_in_one_group():
    documented = [reason for group in GROUPS for reason in group.meanings]
    assert sorted(documented) == sorted(Reason), "add what is missing to porter/model/meanings.py"


def test_the_page_is_what_the_code_says():
    assert PAGE.read_text() == reference_page(), "run scripts/reference"


def test_each_meaning_is_a_sentence():
    for group in GROUPS:
        for reason, meaning in group.meanings.items():
            for text in (meaning.sentence, meaning.mend):
                assert not text or text.endswith("."), reason
                assert "|" not in text, reason


def test_a_code_has_a_meaning_and_other_text_has_none():
    assert meaning_of("PoolExhausted") == GROUPS[1].meanings[Reason.POOL_EXHAUSTED]
    assert meaning_of("Whatever") is None
