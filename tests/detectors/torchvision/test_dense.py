"""The prior a dense detector starts from."""

import pytest
import torch

from hardmine import recipes, wrap


@pytest.mark.parametrize("name", ["retinanet", "ssd", "ssdlite", "fcos"])
def test_objects_start_as_unlikely_as_the_prior_says(name, make_model, make_batch):
    model = make_model(name, noise=0.0)
    detector = wrap(model, recipes.ce()).train()
    detector.initialize_prior(0.01)
    module, scores = detector.classification_layer()
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, torch.nn.Conv2d) and layer.out_channels % scores == 0:
                layer.weight.zero_()
    seen = []
    detector.head.classify.loss.register_forward_hook(lambda _, args, out: seen.append(args[0]))
    detector(*make_batch(detector.label_offset))
    (logits,) = seen
    objects = logits.sigmoid() if detector.activation == "sigmoid" else 1 - logits.softmax(dim=-1)[..., -1]
    torch.testing.assert_close(objects, torch.full_like(objects, 0.01))


def test_only_the_classification_layer_changes(make_model):
    model = make_model("ssdlite")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wrap(model, recipes.ce()).initialize_prior(0.01)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith("head.classification_head") and name.endswith("bias") for name in changed)
