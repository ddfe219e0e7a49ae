import pytest

from hardmine.claims.check import dry_run
from hardmine.claims.scales import SCALES
from hardmine.claims.table import CLAIMS, claims_called
from hardmine.errors import ConfigError


def test_names_are_unique_and_say_what_a_claim_needs_to_say():
    assert len({claim.slug for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert claim.slug == claim.slug.lower()
        assert " " not in claim.slug
        assert claim.ids, claim.slug
        for text in (claim.words, claim.source, claim.published):
            assert len(text) > 5, claim.slug
        assert len(set(claim.cells)) == len(claim.cells), claim.slug


def test_claims_are_found_by_name_and_by_id_in_the_order_of_the_table():
    assert claims_called(()) == CLAIMS
    by_id = claims_called(["003-15", "000-05"])
    assert [claim.slug for claim in by_id] == ["ohem-improves", "high-iou-negatives-are-hard"]
    assert claims_called(["ohem-improves"]) == by_id[:1]
    with pytest.raises(ConfigError, match="ohem-improves"):
        claims_called(["ohem-improve"])


def test_claims_share_trainings():
    cells = [cell for claim in CLAIMS for cell in claim.cells]
    assert len(set(cells)) < 0.7 * len(cells)


@pytest.mark.parametrize("name", SCALES)
def test_every_training_could_be_begun(name, tmp_path):
    commands = dry_run(CLAIMS, SCALES[name], tmp_path)
    cells = {cell for claim in CLAIMS for cell in claim.cells}
    assert len(set(commands)) == len(cells) * len(SCALES[name].seeds)
    assert all(command.startswith("hardmine train --") for command in commands)
    assert not list(tmp_path.iterdir())
