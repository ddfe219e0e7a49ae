import pytest

from hardmine.errors import ConfigError, EvidenceError
from hardmine.figures import draw, plot
from hardmine.figures.drawing import FROM_A_RUN, FROM_THE_FORMULA
from hardmine.recipes import RECIPES

NEED_A_RUN = sorted(set(RECIPES) - set(FROM_THE_FORMULA))


def test_figures_are_of_recipes_that_exist():
    assert set(FROM_THE_FORMULA) | set(FROM_A_RUN) <= set(RECIPES)


@pytest.mark.parametrize("name", sorted(FROM_THE_FORMULA))
def test_a_formula_is_drawn_without_a_run(name):
    figure = draw(RECIPES[name]())
    assert figure.title == RECIPES[name]().title
    assert figure.panels
    for panel in figure.panels:
        for series in panel.series:
            assert len(series.x) == len(series.y) + (series.kind == "steps") > 0


@pytest.mark.parametrize("name", NEED_A_RUN)
def test_other_recipes_say_that_they_need_a_run(name):
    with pytest.raises(ConfigError, match="add --run FOLDER with a finished run"):
        draw(RECIPES[name]())


def test_a_run_adds_what_the_recipe_does_there(dense, two_stage):
    assert [len(row) for row in draw(RECIPES["focal"](), dense).rows] == [2, 3]
    assert [len(row) for row in draw(RECIPES["ghm"](), dense).rows] == [3, 3]
    assert [len(row) for row in draw(RECIPES["libra"](), two_stage).rows] == [2, 3]
    assert [len(row) for row in draw(RECIPES["ohem"](), two_stage).rows] == [3]


def test_a_figure_is_written_from_a_run_folder(run_of, few, tmp_path):
    plot(RECIPES["hnm"](), tmp_path / "hnm.svg", run_of("retinanet"), split="val")
    assert (tmp_path / "hnm.svg").read_bytes().startswith(b"<?xml")


def test_what_is_wrong_is_said_and_nothing_is_written(run_of, few, tmp_path):
    with pytest.raises(ConfigError, match="give a finished run with --run"):
        plot(RECIPES["focal"](), tmp_path / "focal.png", data="scenes")
    with pytest.raises(ConfigError, match="ends in"):
        plot(RECIPES["focal"](), tmp_path / "focal.jpg")
    with pytest.raises(EvidenceError, match="softmax"):
        plot(RECIPES["qfl"](), tmp_path / "qfl.png", run_of("fasterrcnn"))
    assert list(tmp_path.iterdir()) == []
