"""A hard-RoI module of your own: the proposals that are lost most on, but no more than two of one object."""

import torch

import hardmine as hm
from hardmine.core.rank_in_groups import rank_in_groups, top_among


class HardButSpread(hm.Sampling):
    """Keeps the samples of largest classification loss, of each object's the two hardest at most."""

    needs = frozenset({"classification_loss"})

    def __init__(self, budget: int = 64, an_object: int = 2):
        super().__init__()
        self.budget, self.an_object = budget, an_object  # no more than the budget needs a second pass with gradient

    def weigh(self, samples: hm.Samples) -> torch.Tensor:
        loss, assignment = samples["classification_loss"], samples.assignment
        rank = rank_in_groups(loss.masked_fill(~assignment.is_valid, -1), assignment.matched_gt)
        candidates = assignment.is_valid & (assignment.is_negative | (rank < self.an_object))
        return top_among(loss, candidates, self.budget).to(loss.dtype)


recipe = hm.Recipe(
    "hard_but_spread", slots=lambda _: {"select": hm.Slot(HardButSpread())}, on=frozenset({"roi", "soft"})
)
hm.testing.check_sampling(HardButSpread())

torch.manual_seed(0)
detector = hm.wrap(hm.build("fasterrcnn", num_classes=2, backbone="tiny", image_size=128), recipe).train()
targets = [{"boxes": torch.tensor([[20.0, 20, 70, 80]]), "labels": torch.tensor([1])}]
losses = detector([torch.rand(3, 128, 128)], targets)
print("Faster R-CNN", {name: round(loss.item(), 3) for name, loss in losses.items()})

try:
    yolo = hm.detectors.build("ultralytics:yolo11n", num_classes=2, weights="none", image_size=128)
except hm.HardmineError as error:
    print(f"YOLO: {error}")  # ultralytics is not installed
else:
    detector = hm.wrap(yolo, recipe, image_size=128).train()
    targets = [{"boxes": torch.tensor([[20.0, 20, 70, 80]]), "labels": torch.tensor([0])}]
    losses = detector([torch.rand(3, 128, 128)], targets)
    print("YOLO11n", {name: round(loss.sum().item(), 3) for name, loss in losses.items()})
