from pathlib import Path

import pytest

from hardmine.claims.contrasts import VERDICTS
from hardmine.claims.table import CLAIMS
from hardmine.claims.written import COLUMNS, NOT_MEASURED, NOT_RUN, as_markdown, merged, read_entries
from hardmine.errors import RunError

PAGE = Path(__file__).parents[2] / "docs" / "claims.md"


def entry(slug="ohem-improves", verdict="holds") -> dict:
    finding = {
        "text": "AP: a | b",
        "value": 0.05,
        "low": -0.001,
        "high": 1.5,
        "by_seed": [0.05, 0.06],
        "verdict": verdict,
    }
    said = {"words": "words", "source": "paper", "published": "1", "notes": "", "cells": ["fasterrcnn-ohem"]}
    ran = {"scale": "small", "data": "scenes", "seeds": [0, 1], "verdict": verdict, "numbers": {"AP": [0.5, 0.25]}}
    return {"slug": slug, "findings": [finding], **said, **ran}


def rows_of(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[part.strip() for part in line.strip("|").split("|")] for line in lines]


def test_a_row_holds_the_interval_the_verdict_and_the_place():
    text = as_markdown([entry()])
    (row,) = [row for row in rows_of(text) if row[0].startswith("`ohem-improves`")]
    assert row[0] == "`ohem-improves` (003-15, 004-15)"
    assert row[3] == "AP: a / b: +.050 [-.001, +1.50], holds"
    assert row[4:] == ["holds", "small: scenes, 2 seeds"]
    assert "- AP: .500, .250" in text
    assert f"not run yet: {len(CLAIMS) - 1}; holds: 1." in text
    assert "Small: 3 seeds" in text
    assert "- AP: a | b, by seed: +.050, +.060" in text


def test_every_claim_has_a_row_and_those_without_an_entry_their_command():
    head, _, *rows = rows_of(as_markdown([entry()]))
    assert tuple(head) == COLUMNS
    assert [row[0].split("`")[1] for row in rows] == [claim.slug for claim in CLAIMS]
    not_run = [row for row in rows if row[4] == NOT_RUN]
    assert len(not_run) == len(CLAIMS) - 1
    assert all(row[3].startswith("`hardmine claims ") for row in not_run)


def test_new_entries_take_the_place_of_old_ones_in_the_order_of_the_table():
    last, first = entry(CLAIMS[-1].slug), entry(CLAIMS[0].slug, "undecided")
    found = merged([last, entry(CLAIMS[0].slug)], [first])
    assert [of["slug"] for of in found] == [CLAIMS[0].slug, CLAIMS[-1].slug]
    assert found[0]["verdict"] == "undecided"
    assert merged(found, [entry(CLAIMS[0].slug, NOT_RUN)]) == found, "what was found is not lost"


@pytest.mark.parametrize("content", ["{", "[]", '{"claims": [{}]}', '{"claims": 3}'])
def test_a_damaged_file_is_an_error_that_says_so(tmp_path, content):
    file = tmp_path / "claims.json"
    assert read_entries(file) == []
    file.write_text(content)
    with pytest.raises(RunError, match="damaged"):
        read_entries(file)


def test_the_page_of_the_docs_is_such_a_page():
    head, _, *rows = rows_of(PAGE.read_text())
    assert tuple(head) == COLUMNS
    assert [row[0].split("`")[1] for row in rows] == [claim.slug for claim in CLAIMS]
    for row in rows:
        assert len(row) == len(COLUMNS), row[0]
        assert row[4] in (*VERDICTS, NOT_RUN, NOT_MEASURED), row[0]
        assert ("1 seed" in row[5]) == ("one seed" in row[4]), row[0]
        assert (row[4] == NOT_RUN) == row[3].startswith("`hardmine claims"), row[0]
