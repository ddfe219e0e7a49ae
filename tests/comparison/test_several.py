import json
import shutil
from dataclasses import replace

import pytest

from hardmine.comparison import RecipeChoice
from hardmine.comparison.several import _names, compare_on_several
from hardmine.errors import ConfigError, DataError, RunError

RECIPES = [RecipeChoice("random"), RecipeChoice("focal")]


@pytest.fixture(scope="module")
def configs(small, small_data, tmp_path_factory):
    """Two data sets with one name, of the same images."""
    other = tmp_path_factory.mktemp("other") / small_data.name
    shutil.copytree(small_data, other)
    config = small(epochs=1)
    return [config, replace(config, data=str(other))]


def test_each_data_set_has_its_comparison_and_all_have_one_answer(configs, tmp_path):
    found = compare_on_several(configs, RECIPES, [0, 1], tmp_path / "out", progress=False)
    name = configs[0].data.rpartition("/")[2]
    assert list(found.on) == [f"{name}-1", f"{name}-2"]
    gains = [comparison.rows[1].difference.value for comparison in found.on.values()]
    assert found.across["focal"].mean_difference.value == pytest.approx(sum(gains) / 2)
    stored = json.loads((tmp_path / "out/compare.json").read_text())
    assert stored == json.loads(json.dumps(found.to_dict()))
    for data in found.on:
        assert (tmp_path / "out" / data / "focal/seed1/weights.safetensors").exists()
        assert json.loads((tmp_path / "out" / data / "compare.json").read_text()) == stored["on"][data]


def test_data_or_recipes_that_leave_nothing_to_compare_are_refused(configs, tmp_path):
    for given, recipes in ((configs[:1] * 2, RECIPES), (configs, RECIPES[:1])):
        with pytest.raises(ConfigError, match="data sets that differ, and at least two recipes"):
            compare_on_several(given, recipes, [0], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_data_under_another_path_are_the_same(configs, tmp_path):
    again = replace(configs[0], data=f"{configs[0].data}/../{configs[0].data.rpartition('/')[2]}/")
    with pytest.raises(ConfigError, match="data sets that differ"):
        compare_on_several([configs[0], again], RECIPES, [0], tmp_path / "out")


def test_the_last_data_set_is_checked_before_the_first_training(configs, tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        compare_on_several([configs[0], replace(configs[1], data="nowhere")], RECIPES, [0], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_else_is_refused(configs, tmp_path):
    (tmp_path / "compare.json").write_text("mine")
    with pytest.raises(RunError, match="exists already"):
        compare_on_several(configs, RECIPES, [0], tmp_path)
    assert (tmp_path / "compare.json").read_text() == "mine"


@pytest.mark.parametrize("places", [["/x/a", "/y/a", "/z/a-1"], ["/", "/x/data"], ["/x/a", "/x/b"]])
def test_no_two_data_sets_share_a_folder_and_none_leaves_it(places):
    names = _names(places)
    assert len(set(names)) == len(places)
    assert all(name not in ("", ".", "..") and "/" not in name for name in names)
