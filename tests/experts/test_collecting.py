"""Collecting: what the last layer sees, with the labels that the detector or segmenter learns by."""

import pytest
import torch
from torch import nn
from torchvision.models.segmentation import FCN
from torchvision.ops import box_iou

import hardmine as hm
from hardmine.errors import ConfigError, DataError, RunError, ShapeError
from hardmine.experts import Expert, add_expert, collect, collect_of_run, fit_expert
from hardmine.training import TrainingConfig, train

SIDE = 64


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 8, 3, 2, 1)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": self.layer(images)}


@pytest.fixture
def segmenter() -> hm.Segmenter:
    return hm.wrap(FCN(Backbone(), nn.Sequential(nn.Dropout(0.5), nn.Conv2d(8, 3, 1))), hm.recipes.random()).train()


@pytest.fixture
def detector() -> hm.Detector:
    return hm.wrap(hm.build("fasterrcnn", 2, backbone="micro", image_size=SIDE), hm.recipes.random()).train()


def batch(*objects: list[list[float]]) -> tuple[list[torch.Tensor], list[dict[str, torch.Tensor]]]:
    targets = [
        {"boxes": torch.tensor(of).view(-1, 4), "labels": torch.full((len(of),), 2, dtype=torch.int64)}
        for of in objects
    ]
    return [torch.rand(3, SIDE, SIDE) for _ in objects], targets


def test_rois_have_the_labels_of_the_objects_that_they_overlap_by_half(detector):
    images, targets = batch([[4.0, 4, 60, 60]], [])
    samples = collect(detector, [(images, targets)], most=1000)
    assert samples.num_features == 128
    assert samples.num_classes == 3
    assert set(samples.image.tolist()) == {0, 1}
    assert samples.labels[samples.image == 1].sum() == 0  # background is the first column
    seen: list[torch.Tensor] = []
    detector.model.roi_heads.box_roi_pool.register_forward_pre_hook(lambda _, given: seen.extend(given[1]))
    detector.eval()(images)
    overlap = box_iou(seen[0], targets[0]["boxes"]).squeeze(1)
    expected = 2 * int((overlap >= 0.5).sum())
    assert samples.labels[samples.image == 0].sum() == expected


def test_their_logits_are_the_base_s_whatever_stands_beside_it(detector):
    batches = [batch([[4.0, 4, 60, 60]])]
    before = collect(detector, batches)
    predictor = detector.model.roi_heads.box_predictor
    torch.testing.assert_close(predictor(before.features)[0], before.logits)
    add_expert(detector, Expert(128, 3))
    torch.testing.assert_close(collect(detector, batches).logits, before.logits)


def test_crowds_and_objects_of_weight_0_are_left_out(detector):
    images, targets = batch([[0.0, 0, 40, 64]])
    whole = collect(detector, [(images, targets)], most=1000)
    crowd = collect(detector, [(images, [targets[0] | {"iscrowd": torch.tensor([True])}])], most=1000)
    weightless = collect(detector, [(images, [targets[0] | {"weights": torch.tensor([0.0])}])], most=1000)
    assert (whole.labels > 0).any()
    assert not (crowd.labels > 0).any()
    assert len(crowd) < len(whole)
    assert len(weightless) == int((whole.labels == 0).sum())


@pytest.mark.parametrize("most", [1, 7])
def test_no_more_than_so_many_of_an_image_are_drawn_and_always_the_same(detector, most):
    batches = [batch([[4.0, 4, 60, 60]], [], [])]
    samples, again = collect(detector, batches, most=most), collect(detector, batches, most=most)
    assert torch.bincount(samples.image).tolist() == [most] * 3
    assert torch.equal(samples.features, again.features)


def test_images_are_numbered_over_all_batches_and_the_mode_stays(detector, segmenter):
    samples = collect(detector, [batch([], []), batch([])], most=3)
    assert sorted(set(samples.image.tolist())) == [0, 1, 2]
    assert detector.training
    collect(segmenter, [(torch.rand(1, 3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.int64))])
    assert segmenter.training


def test_pixels_are_cells_of_the_last_map_with_the_label_at_their_middle(segmenter):
    images, masks = torch.rand(2, 3, 8, 12), torch.randint(3, (2, 8, 12))
    masks[1, :4] = 255
    samples = collect(segmenter, [(images, masks)], most=1000)
    with torch.no_grad():
        features = segmenter.model.backbone(images)["out"]
        logits = segmenter.model.classifier[1](features)
    middle = masks[:, 1::2, 1::2]
    counts = middle != 255
    assert len(samples) == int(counts.sum())
    for found, wanted in ((samples.features, features), (samples.logits, logits)):
        rows = wanted.movedim(1, -1)[counts]
        torch.testing.assert_close(found.sum(0), rows.sum(0))
    assert torch.equal(torch.bincount(samples.labels, minlength=3), torch.bincount(middle[counts], minlength=3))
    order = samples.labels == 0
    torch.testing.assert_close(samples.features[order].sum(), features.movedim(1, -1)[middle == 0].sum())


def test_masks_of_another_size_and_no_image_are_refused(segmenter, detector):
    with pytest.raises(DataError, match="no sample was held out"):
        collect(segmenter, [])
    for masks in (torch.zeros(1, 4, 4, dtype=torch.int64), torch.zeros(1, 8, 8)):
        with pytest.raises(ShapeError, match="expected whole numbers"):
            collect(segmenter, [(torch.rand(1, 3, 8, 8), masks)])
    with pytest.raises(ShapeError):
        collect(detector, [(*batch([])[:1], [])])
    with pytest.raises(ConfigError, match="most must be at least 1"):
        collect(detector, [], most=0)


def test_another_detector_is_refused():
    other = hm.wrap(hm.build("retinanet", 2, backbone="tiny", image_size=SIDE), hm.recipes.random())
    with pytest.raises(ConfigError, match="got RetinaNetDetector"):
        collect(other, [batch([])])


def test_fast_rcnn_s_proposals_come_with_the_targets():
    detector = hm.wrap(hm.build("fastrcnn", 2, backbone="micro", image_size=SIDE), hm.recipes.random())
    images, targets = batch([[4.0, 4, 60, 60]])
    proposals = torch.tensor([[4.0, 4, 60, 60], [0, 0, 10, 10]])
    samples = collect(detector, [(images, [targets[0] | {"proposals": proposals}])])
    assert sorted(samples.labels.tolist()) == [0, 2]


def test_a_segformer_s_pixels():
    transformers = pytest.importorskip("transformers", reason="SegFormer is transformers'")
    config = transformers.SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16], patch_sizes=[3, 3], strides=[2, 2],
        num_attention_heads=[1, 1], mlp_ratios=[1, 1], decoder_hidden_size=8, num_labels=3,
    )  # fmt: skip
    model = transformers.SegformerForSemanticSegmentation(config)
    segmenter = hm.wrap(model, hm.recipes.random())
    batches = [(torch.rand(2, 3, 32, 32), torch.randint(3, (2, 32, 32)))]
    samples = collect(segmenter, batches)
    assert (samples.num_features, samples.num_classes) == (8, 3)
    expert = fit_expert(samples, steps=5)
    before = segmenter.eval().scores(batches[0][0])
    add_expert(segmenter, expert)
    after = segmenter.scores(batches[0][0])
    assert after.shape == before.shape
    assert not torch.equal(after, before)


@pytest.fixture
def scenes_of_few(monkeypatch):
    """Runs on ten scenes."""
    from hardmine.data import scenes

    monkeypatch.setattr(scenes, "_NUM_IMAGES", {"train": 10, "val": 3})


def test_a_run_that_held_out_a_fold_gives_its_samples(tmp_path, scenes_of_few):
    config = TrainingConfig(fold="1/2", epochs=1)
    train(config, tmp_path / "run", progress=False)
    loaded, samples = collect_of_run(tmp_path / "run", most=8)
    assert len(samples) == 5 * 8
    assert loaded.classes == ("three", "nine", "one", "six")
    assert samples.num_classes == 5
    add_expert(loaded.detector, Expert(samples.num_features, 5))


def test_a_run_that_held_out_none_is_refused_and_what_is_no_run(tmp_path, scenes_of_few):
    train(TrainingConfig(epochs=1), tmp_path / "run", progress=False)
    with pytest.raises(ConfigError, match="train with --fold 1/5"):
        collect_of_run(tmp_path / "run")
    with pytest.raises(RunError):
        collect_of_run(tmp_path / "none")
