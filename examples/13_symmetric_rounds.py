"""The symmetric remedy by hand: an object that the last model missed gets the anchors that came closest to it.

`hardmine train --mined FOLDER --reassign 3` and `hardmine loop --reassign 3` do the same with what was mined.
"""

import torch

import hardmine as hm
from hardmine.detectors import reassign_missed

torch.manual_seed(0)
images = [torch.rand(3, 128, 128)]
boxes = torch.tensor([[20.0, 20, 70, 80], [84, 90, 97, 122]])  # the second is small and slim
target = {"boxes": boxes, "labels": torch.tensor([0, 1]), "missed": torch.tensor([False, True])}


def positives(detector: hm.Detector) -> list[int]:
    """How many anchors each object has, in one step of training."""
    found: list[torch.Tensor] = []
    hook = detector.final_head.register_forward_hook(lambda _, given, __: found.append(given[2].matched_gt))
    detector(images, [target])
    hook.remove()
    return [int((found[0] == place).sum()) for place in range(len(boxes))]


detector = hm.wrap(hm.build("retinanet", num_classes=2, backbone="tiny", image_size=128), hm.recipes.random()).train()
print("anchors of each object:", positives(detector))
reassign_missed(detector, k=3)
print("the same, when the second was missed:", positives(detector))
