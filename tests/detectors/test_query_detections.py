"""What is found of queries: the best pairs of a query and a class, in pixels of the image."""

import torch

from hardmine.detectors.query_detections import MOST_FOUND, best_queries


def test_the_best_pairs_come_first_and_lie_on_the_image():
    logits, boxes = torch.randn(500, 3), torch.rand(500, 4)
    found = best_queries(logits, boxes, (60, 90))
    assert len(found["scores"]) == MOST_FOUND
    assert torch.equal(found["scores"], logits.sigmoid().flatten().sort(descending=True).values[:MOST_FOUND])
    assert (found["boxes"] >= 0).all()
    assert (found["boxes"][:, 2::2] <= 90).all()
    assert (found["boxes"][:, 3::2] <= 60).all()


def test_a_box_is_in_pixels_of_the_image():
    found = best_queries(torch.tensor([[9.0]]), torch.tensor([[0.5, 0.5, 0.2, 0.5]]), (60, 100))
    torch.testing.assert_close(found["boxes"], torch.tensor([[40.0, 15, 60, 45]]))


def test_the_background_of_a_softmax_is_not_found():
    found = best_queries(torch.tensor([[1.0, 2, 9]]), torch.full((1, 4), 0.5), (60, 100), "softmax")
    assert found["labels"].tolist() == [1, 0]
    torch.testing.assert_close(found["scores"], torch.tensor([1.0, 2, 9]).softmax(0)[[1, 0]])
