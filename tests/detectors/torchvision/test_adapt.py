"""Each model of torchvision's, and of its parts, gets its own adapter, with the plan that was asked for."""

import pytest
from torchvision.models import resnet18

from hardmine import recipes
from hardmine.detectors import DETECTORS, build
from hardmine.detectors.torchvision import adapt
from hardmine.errors import ConfigError

ADAPTERS = {
    "retinanet": "RetinaNetDetector",
    "fasterrcnn": "FasterRCNNDetector",
    "cascadercnn": "CascadeRCNNDetector",
    "fastrcnn": "FastRCNNDetector",
    "fcos": "FCOSDetector",
    "ssd": "SSDDetector",
    "ssdlite": "SSDDetector",
}


@pytest.mark.parametrize("name", list(DETECTORS))
def test_what_is_built_is_adapted(name):
    model = build(name, 2, backbone="micro", image_size=64)
    adapted = adapt(model, recipes.random(), two_pass=False)
    assert type(adapted).__name__ == ADAPTERS[name]
    assert adapted.model is model
    assert adapted.num_classes == 2
    stages = getattr(adapted, "stages", None) or [stage for stage in [getattr(adapted, "stage", None)] if stage]
    assert bool(stages) == name.endswith("rcnn")
    assert not any(stage.two_pass for stage in stages)


def test_another_model_of_torchvisions_is_named():
    with pytest.raises(
        ConfigError, match=r"got torchvision\.models\.resnet\.ResNet; expected torchvision's FasterRCNN"
    ):
        adapt(resnet18(), recipes.random())
