"""The table of criteria is that of the framework: each function makes the class that is named."""

import pytest

from hardmine.detectors.transformers.criteria import CRITERIA, criterion_of
from hardmine.errors import ConfigError

transformers = pytest.importorskip("transformers", reason="needs pip install 'hardmine[transformers]'")

NAMES = {"rt_detr": "RTDetr", "rt_detr_v2": "RTDetrV2", "d_fine": "DFine", "deimv2": "Deimv2", "lw_detr": "LwDetr"}
NAMES |= {"rf_detr": "RfDetr", "deformable_detr": "DeformableDetr", "conditional_detr": "ConditionalDetr"}


@pytest.mark.parametrize("kind", CRITERIA)
def test_the_loss_function_of_a_kind_makes_the_class_that_is_named(kind):
    from transformers.loss.loss_utils import LOSS_MAPPING

    function = LOSS_MAPPING.get(f"{NAMES.get(kind)}ForObjectDetection", LOSS_MAPPING["ForObjectDetection"])
    if kind == "dab-detr":
        function = LOSS_MAPPING["DabDetrForObjectDetection"]
    assert hasattr(function.__globals__[CRITERIA[kind].kind], "get_loss")
    assert CRITERIA[kind].kind in function.__code__.co_names


@pytest.mark.parametrize("kind", ["RTDetrV2", "Detr", "DeformableDetr"])
def test_gains_are_those_of_the_models_own_sum(kind, make_detr, make_labels):
    import torch

    model = make_detr(kind)
    found = model(pixel_values=torch.rand(2, 3, 64, 64), labels=make_labels(2, 1))
    criterion = criterion_of(model)
    total = sum(loss * criterion.gain(term, model.config) for term, loss in found.loss_dict.items())
    torch.testing.assert_close(total, found.loss)


def test_what_is_no_model_is_named():
    with pytest.raises(ConfigError, match="got transformers' int"):
        criterion_of(3)
