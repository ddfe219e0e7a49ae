"""A method of your own in a few lines: here, only negatives that nearly touch an object count."""

import torch

import hardmine as hm


class NearMisses(hm.Sampling):
    """Keeps all positives, and the negatives that overlap some object a little."""

    def weigh(self, samples: hm.Samples) -> torch.Tensor:
        near = samples.assignment.is_negative & (samples.assignment.iou > 0.05)
        return (near | samples.assignment.is_positive).float()


def unsure(samples: hm.Samples) -> torch.Tensor:
    """The nearer a score is to one half, the more its class counts."""
    probability = samples["logits"].sigmoid()
    return 4 * probability * (1 - probability)


def slots(head: hm.recipes.HeadTraits) -> dict[str, hm.Slot]:
    """Near misses, and on a head with sigmoid scores the unsure ones."""
    chosen = {"select": hm.Slot(NearMisses())}
    if head.activation == "sigmoid":
        chosen["classify"] = hm.Slot(hm.sampling.from_function(unsure, needs={"logits"}))
    return chosen


recipe = hm.Recipe(name="near_misses", slots=slots, on=frozenset({"dense", "roi"}))  # not on an RPN

torch.manual_seed(0)
images = [torch.rand(3, 128, 128)]
for name, first_label in (("retinanet", 0), ("fasterrcnn", 1)):
    detector = hm.wrap(hm.build(name, num_classes=2, backbone="tiny", image_size=128), recipe).train()
    targets = [{"boxes": torch.tensor([[20.0, 20, 70, 80]]), "labels": torch.tensor([first_label])}]
    print(name, {key: round(loss.item(), 3) for key, loss in detector(images, targets).items()})
