"""A set-prediction detector in a loop of one's own, on a model that says what it is told."""

import pytest
import torch
from torch import Tensor, nn

from hardmine.core.samples import GroundTruth
from hardmine.detectors.query_detector import QueryDetector
from hardmine.detectors.weighted_layers import SIDE

AS_IT_IS = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class Seam:
    """Keeps what it is told of."""

    def __init__(self) -> None:
        self.told: list[GroundTruth | None] = []

    def expect(self, ground_truth: GroundTruth | None) -> None:
        self.told.append(ground_truth)


class Repeating(QueryDetector):
    """One query at the middle of each image, and the losses that it is given."""

    labels = "classes"
    num_classes = 2

    def __init__(self, terms: dict[str, Tensor], gains: dict[str, float]):
        super().__init__(nn.Identity(), 64, AS_IT_IS)
        self.seam, self.said, self.seen = Seam(), (terms, gains), []

    def terms(self, batch, targets):
        self.seen.append((batch.shape, targets))
        return self.said

    def found(self, batch):
        return torch.tensor([[[0.0, 1.0]]] * len(batch)), torch.tensor([[[0.5, 0.5, 0.5, 0.5]]] * len(batch))


@pytest.fixture
def batch():
    images = [torch.rand(3, 32, 64), torch.rand(3, 128, 64)]
    boxes = torch.tensor([[0.0, 0, 32, 16]])
    return images, [{"boxes": boxes, "labels": torch.tensor([1])}] * 2


def test_terms_of_all_layers_are_summed_by_name_times_their_gains(batch):
    terms = {"loss_ce": 1.0, "loss_ce_0": 2.0, "loss_bbox_enc": 3.0, "loss_bbox": 5.0, "class_error": 7.0}
    detector = Repeating({name: torch.tensor(of) for name, of in terms.items()}, {
        "loss_ce": 2.0, "loss_ce_0": 2.0, "loss_bbox": 1.0, "loss_bbox_enc": 4.0, "class_error": 0.0,
    })  # fmt: skip
    losses = {name: float(of) for name, of in detector.train()(*batch).items()}
    assert losses == {"loss_ce": 6.0, "loss_bbox": 17.0}


def test_objects_are_told_in_shares_and_the_seam_in_its_own_pixels(batch):
    detector = Repeating({}, {}).train()
    detector(*batch)
    ((shape, targets),) = detector.seen
    assert shape == (2, 3, 64, 64)
    assert targets[0]["classes"].tolist() == [1]
    torch.testing.assert_close(targets[0]["boxes"], torch.tensor([[0.25, 0.25, 0.5, 0.5]]))
    torch.testing.assert_close(targets[1]["boxes"], torch.tensor([[0.25, 0.0625, 0.5, 0.125]]))
    told, afterwards = detector.seam.told
    torch.testing.assert_close(told.boxes[0, 0], torch.tensor([0, 0, SIDE / 2, SIDE / 2]))
    assert afterwards is None


def test_a_failed_step_leaves_nothing_expected(batch):
    detector = Repeating({}, {}).train()
    detector.terms = None
    with pytest.raises(TypeError):
        detector(*batch)
    assert detector.seam.told[-1] is None


def test_detections_are_in_pixels_of_each_image(batch):
    found = Repeating({}, {}).eval()(batch[0])
    assert found[0]["boxes"][0].tolist() == [16, 8, 48, 24]
    assert found[1]["boxes"][0].tolist() == [16, 32, 48, 96]
    assert found[0]["labels"].tolist() == [1, 0]
