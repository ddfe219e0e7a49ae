"""A detector of transformers in a loop of one's own."""

import copy

import pytest
import torch

import hardmine as hm
from hardmine.errors import ConfigError
from hardmine.training.optimise import averaged_weights

pytest.importorskip("transformers", reason="needs pip install 'hardmine[transformers]'")

KINDS = ["RTDetrV2", "Detr", "Yolos"]


@pytest.fixture
def batch():
    images = [torch.rand(3, 64, 64), torch.rand(3, 48, 80)]
    boxes = torch.tensor([[4.0, 4, 30, 40], [20, 10, 60, 50]])
    targets = [{"boxes": boxes, "labels": torch.tensor([0, 3])}]
    return images, [*targets, {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}]


@pytest.mark.parametrize("kind", KINDS)
def test_its_losses_add_up_to_the_models_own(kind, make_detr, batch):
    model = make_detr(kind)
    found = []
    model.register_forward_hook(lambda _, given, out: found.append(out.loss))
    losses = hm.wrap(model, hm.recipes.random(), image_size=64).train()(*batch)
    torch.testing.assert_close(sum(losses.values()), found[0])


@pytest.mark.parametrize("kind", KINDS)
def test_detections_lie_on_the_images(kind, make_detr, batch):
    detector = hm.wrap(make_detr(kind), hm.recipes.hnm(), image_size=64).eval()
    for found, image in zip(detector(batch[0]), batch[0], strict=True):
        height, width = image.shape[-2:]
        assert (found["boxes"] >= 0).all()
        assert (found["boxes"] <= torch.tensor([width, height, width, height])).all()
        assert found["labels"].max() < detector.num_classes
        assert (found["scores"].diff() <= 0).all()


def test_objects_of_weight_0_and_crowds_are_left_out(make_detr, batch):
    model, (images, targets) = make_detr("Detr"), batch
    detector = hm.wrap(model, hm.recipes.random(), image_size=64).train()
    losses = detector(images, [targets[0] | {"weights": torch.zeros(2)}, targets[1]])
    assert not losses["loss_bbox"]
    assert losses["loss_ce"] > 0
    everywhere = {"boxes": torch.tensor([[0.0, 0, 80, 64]]), "labels": torch.tensor([0])}
    crowds = [everywhere | {"iscrowd": torch.tensor([1])}] * 2
    assert not detector(images, crowds)["loss_ce"]  # all queries are background inside a crowd


def test_its_model_is_the_frameworks_and_its_samplings_are_its_own(make_detr):
    model = make_detr("RTDetrV2")
    names = list(model.state_dict())
    detector = hm.wrap(model, hm.recipes.ghm(), image_size=64)
    assert list(detector.model.state_dict()) == names
    assert any(name.startswith("heads.last") for name in detector.state_dict())


def test_copies_and_averages_predict_as_it_does(make_detr, batch):
    detector = hm.wrap(make_detr("RTDetrV2"), hm.recipes.ghm(), image_size=64).train()
    sum(detector(*batch).values()).backward()
    average = averaged_weights(detector, 0.9)
    for other in (copy.deepcopy(detector), average.module):
        found, expected = other.eval()(batch[0]), detector.eval()(batch[0])
        torch.testing.assert_close(found, expected)


def test_images_with_fewer_places_than_queries_are_named(make_detr):
    model = make_detr("RTDetrV2")
    model.config.num_queries = 300
    with pytest.raises(ConfigError, match=r"chooses 300 queries .* an image of 64 pixels has 84; give a larger"):
        hm.wrap(model, hm.recipes.random(), image_size=64)
