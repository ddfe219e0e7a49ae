from hardmine.claims.claim import cell
from hardmine.training import TrainingConfig


def test_a_cell_is_named_by_all_that_it_sets():
    plain = cell("retinanet", "focal", gamma=0.5, label_errors="dropped=.4")
    assert plain.label == "retinanet-focal-gamma=0.5-dropped=.4"
    assert cell("retinanet", "focal").label == "retinanet-focal"
    assert plain == cell("retinanet", "focal", gamma=0.5, label_errors="dropped=.4"), "so that claims share it"


def test_its_changes_are_training_options():
    changes = cell("fcos", "atss", k=7).changes()
    config = TrainingConfig(**changes)
    assert (config.detector, config.recipe, config.recipe_options, config.label_errors) == (
        "fcos",
        "atss",
        {"k": 7},
        None,
    )
    assert cell("fcos", "atss", k=7).of(config)
    assert not cell("fcos", "atss").of(config)
