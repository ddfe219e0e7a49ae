"""Recipes compared on a segmentation: by mIoU, on the same draws of the same images."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from hardmine.cli.comparison_tables import comparison_tables
from hardmine.cli.layout import Table
from hardmine.comparison import Protocol, RecipeChoice
from hardmine.comparison.auto import compare_advised
from hardmine.comparison.compare import compare, every_recipe
from hardmine.comparison.several import compare_on_several
from hardmine.data import open_segmentation
from hardmine.errors import ConfigError
from hardmine.evaluation import mask_differences
from hardmine.training import RunFolder
from hardmine.training.segment import judge_written

CE, OHEM = RecipeChoice("ce"), RecipeChoice("pixel_ohem", {"min_fraction": 0.25})
LABEL = "pixel_ohem-min_fraction=0.25"


@pytest.fixture(scope="module")
def config(masked):
    return masked(epochs=1)


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    """Two recipes on two seeds, really trained."""
    out = tmp_path_factory.mktemp("compare") / "out"
    return out, compare(config, [CE, OHEM], [0, 1], out, protocol=Protocol(test_split="test"), progress=False)


def judged(out, data, split):
    dataset = open_segmentation(data, split)
    return {
        label: [judge_written(RunFolder(out / label / f"seed{seed}").masks(split), dataset) for seed in (0, 1)]
        for label in ("ce", LABEL)
    }


@pytest.mark.parametrize("split", ["val", "test"])
def test_differences_are_those_of_the_masks_on_the_same_draws(finished, masked_data, split):
    out, comparison = finished
    found = judged(out, masked_data, split)
    rows = {"val": comparison.rows, "test": comparison.on_test}[split]
    for measure in ("miou", "boundary_iou", "iou of square"):
        expected = mask_differences(found, measure)[LABEL]
        assert rows[1][measure].difference == expected
    assert rows[1].difference == rows[1]["miou"].difference
    assert rows[1].main == "miou"
    for row in rows:
        assert row["miou"].by_seed == tuple(run.metrics.miou for run in found[row.recipe])
        assert row.look_alikes is None


def test_a_recipe_is_no_different_from_itself(config, tmp_path):
    twice = [RecipeChoice("ce"), RecipeChoice("random")]
    comparison = compare(config, twice, [0, 1], tmp_path / "out", progress=False)
    difference = comparison.rows[1].difference
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)


def test_a_class_that_no_image_has_leaves_the_others_comparable(finished):
    _, comparison = finished
    assert comparison.rows[1]["iou of square"].difference is not None
    assert np.isfinite(comparison.rows[1].difference.value)


def test_the_words_are_those_of_masks(finished):
    _, comparison = finished
    said = list(comparison_tables(comparison))
    text = " ".join(part for part in said if isinstance(part, str))
    assert "difference in mIoU to ce, over 5 images and 2 seeds" in text
    assert "AP" not in text
    assert "Of errors" not in text
    titles = [[column.title for column in part.columns] for part in said if isinstance(part, Table)]
    assert titles[0][:5] == ["recipe", "mIoU", "accuracy", "boundary IoU", "difference in mIoU"]


def test_files_hold_the_table_and_what_is_finished_stays(finished, config, monkeypatch):
    out, comparison = finished
    stored = json.loads((out / "compare.json").read_text())
    assert stored == json.loads(json.dumps(comparison.to_dict()))
    assert (stored["config"]["task"], stored["recipes"][0]["main"]) == ("segmentation", "miou")
    monkeypatch.setattr("hardmine.training.trainer.Trainer.run_epoch", lambda *_: pytest.fail("trained again"))
    protocol = Protocol(test_split="test")
    again = compare(config, [CE, OHEM], [0, 1], out, protocol=protocol, resume=True, progress=False)
    assert again.rows == comparison.rows


def test_all_recipes_are_those_of_pixels(config):
    taken = {choice.name for choice in every_recipe(config)}
    assert taken == {"random", "ce", "focal", "class_balanced", "ghm", "pixel_ohem"}


def test_recipes_are_tuned_by_miou_and_matched_in_time(config, tmp_path):
    protocol = Protocol(tune=2, match_time=True)
    comparison = compare(config, [CE, OHEM], [0], tmp_path / "out", protocol=protocol, progress=False)
    for label, tuned in comparison.tuned.items():
        for of in tuned.trials:
            run = tmp_path / "out/tuning" / label / f"trial{of.trial.number}-epochs{of.epochs}"
            assert json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["miou"] == of.ap
    assert len(comparison.at_equal_time) == 2


def test_several_data_sets_have_one_answer(config, masked_data, tmp_path):
    other = shutil.copytree(masked_data, tmp_path / "other")
    configs = [replace(config, fold=fold, data=str(data)) for fold, data in (("1/2", masked_data), ("2/2", other))]
    several = compare_on_several(configs, [CE, OHEM], [0, 1], tmp_path / "out", progress=False)
    means = [of.rows[1].difference.value for of in several.on.values()]
    assert several.across[LABEL].mean_difference.value == pytest.approx(np.mean(means))


def test_recipes_are_advised_for_detection_only(config, tmp_path):
    with pytest.raises(ConfigError, match="for detection only; name those to compare, ce,pixel_ohem"):
        compare_advised(config, [0], tmp_path / "out")
    assert not (tmp_path / "out").exists()
