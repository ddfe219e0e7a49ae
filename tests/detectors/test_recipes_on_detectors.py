"""Every recipe on every detector: finite, connected, and indifferent to crowds."""

import pytest
import torch

from hardmine import RECIPES, wrap
from hardmine.errors import EvidenceError

DETECTORS = ["retinanet", "fasterrcnn", "ssd", "ssdlite", "fcos"]


@pytest.fixture(params=DETECTORS)
def model(request, make_model):
    return make_model(request.param)


@pytest.mark.parametrize("name", list(RECIPES))
@pytest.mark.parametrize("num_objects", [(2, 0), (0, 0)], ids=str)
def test_every_trainable_parameter_gets_a_finite_gradient(name, num_objects, model, make_batch, loss_and_gradients):
    """Also for a batch without objects: a parameter without gradient stops data-parallel training."""
    try:
        detector = wrap(model, RECIPES[name]()).train()
    except EvidenceError as error:
        pytest.skip(str(error))
    losses, gradients = loss_and_gradients(detector, model, *make_batch(detector.label_offset, num_objects))
    assert all(torch.isfinite(loss) for loss in losses.values())
    for parameter, gradient in gradients.items():
        assert gradient is not None, parameter
        assert torch.isfinite(gradient).all(), parameter


@pytest.mark.parametrize("name", ["random", "ohem_mmdet"])
def test_bfloat16_autocast_gives_float32_losses_near_those_without(name, model, make_batch):
    detector = wrap(model, RECIPES[name]()).train()
    batch = make_batch(detector.label_offset)
    torch.manual_seed(1)
    exact = detector(*batch)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = detector(*batch)
    for key, loss in rounded.items():
        assert loss.dtype == torch.float32, key
        torch.testing.assert_close(loss, exact[key], rtol=0.1, atol=0.05, msg=lambda m, k=key: f"{k}: {m}")
