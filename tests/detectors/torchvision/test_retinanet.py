"""What RetinaNet's recipes change."""

import pytest
import torch

from hardmine import recipes, wrap
from hardmine.errors import ConfigError


def test_focal_divides_by_the_positives_of_the_batch_not_image_by_image(make_model, make_batch, loss_and_gradients):
    """torchvision divides image by image, which makes a background image count as much as hundreds of positives."""
    model = make_model("retinanet")
    images, targets = make_batch(0, (6, 0))
    detector = wrap(model, recipes.focal()).train()
    seen = []
    detector.head.classify.loss.register_forward_hook(lambda _, args, out: seen.append((args[1], out.detach())))
    ours, _ = loss_and_gradients(detector, model, images, targets)
    ((labels, loss),) = seen
    num_positives = (labels >= 0).sum()
    assert num_positives > 1
    torch.testing.assert_close(ours["classification"], loss.sum() / num_positives)
    theirs, _ = loss_and_gradients(model, model, images, targets)
    torch.testing.assert_close(theirs["classification"], (loss[0].sum() / num_positives + loss[1].sum()) / 2)


def test_an_unknown_box_loss_is_named(make_model):
    model = make_model("retinanet")
    model.head.regression_head._loss_type = "ciou"
    with pytest.raises(ConfigError, match="'ciou'; known are l1, smooth_l1, giou"):
        wrap(model, recipes.random())
