from dataclasses import replace

import pytest
import torch

from hardmine.errors import DataError, EvidenceError, RunError
from hardmine.recipes import RECIPES, Recipe
from hardmine.training.evidence import open_run


def test_all_samples_of_the_head_that_detects_are_seen(dense, two_stage):
    assert (dense.traits.name, two_stage.traits.name) == ("dense", "roi")
    anchors = dense.samples(frozenset({"logits", "labels"}))
    assert len(anchors) == len(dense.batches) == 3
    assert all(samples.assignment.is_valid.any() for samples in anchors)
    assert set(anchors[0].available) == {"logits", "labels"}
    proposals = two_stage.samples(frozenset({"classification_loss", "noise"}))
    assert proposals[0].assignment.matched_gt.shape[1] > two_stage.traits.budget


def test_every_look_sees_the_same_and_leaves_the_random_stream_alone(two_stage):
    sizes, noise = [], []
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        sizes.append(two_stage.pulls(RECIPES["random"]()).size)
        noise.append(two_stage.samples(frozenset({"noise"}))[0]["noise"])
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(*sizes)
    assert torch.equal(*noise)


def test_pulls_are_the_gradients_of_the_loss(dense):
    """Of cross entropy over all anchors: |p - t| over the positives, each batch."""
    pulls = dense.pulls(RECIPES["ce"]())
    expected = []
    for samples in dense.samples(frozenset({"logits", "labels"})):
        target = samples["labels"].unsqueeze(-1) == torch.arange(samples["logits"].shape[-1])
        size = (samples["logits"].sigmoid() - target.float()).abs().sum(-1)
        expected.append(size[samples.assignment.is_valid] / samples.assignment.is_positive.sum().clamp_min(1))
    torch.testing.assert_close(pulls.size, torch.cat(expected), rtol=1e-4, atol=1e-7)


def test_steps_are_looked_at_one_by_one(dense):
    """Batches that can be gone through only once are taken as they are asked for, and say what all say together."""
    taken = []
    once = replace(dense, batches=(taken.append(batch) or batch for batch in dense.batches))
    sizes = []
    for number, step in enumerate(once.steps(RECIPES["random"]()), start=1):
        assert len(taken) == number
        assert step.targets is taken[-1][1]
        assert not step.samples["logits"].requires_grad
        sizes.append(step.slopes.abs().sum(-1)[step.samples.assignment.is_valid])
    assert torch.equal(torch.cat(sizes), dense.pulls(RECIPES["random"]()).size)


def test_only_what_is_kept_pulls_where_a_first_pass_looks_at_all(two_stage):
    pulls = two_stage.pulls(RECIPES["ohem"](budget=5))
    assert len(pulls.size) == 5 * 12
    assert (pulls.size > 0).all()


def test_recipes_that_need_what_is_not_there_are_refused(two_stage):
    with pytest.raises(EvidenceError, match="softmax"):
        two_stage.pulls(RECIPES["qfl"]())


def test_another_split_is_looked_at(run_of, few):
    assert "(train)" in open_run(run_of("retinanet")).source
    other = open_run(run_of("retinanet"), split="val")
    assert other.source == "4 images of scenes (val); retinanet of run retinanet"
    assert len(other.pulls(Recipe("own")).size) > 0


def test_no_run_and_no_data_are_refused(run_of, few, tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        open_run(tmp_path)
    with pytest.raises(DataError, match="no split 'tset'"):
        open_run(run_of("retinanet"), split="tset")
    with pytest.raises(DataError, match="there is no file or folder"):
        open_run(run_of("retinanet"), str(tmp_path / "none"))


def test_samples_of_a_framework_s_head_are_seen_as_they_take_part(others):
    """Of the head that the detections come from, not of both; a copy of the model is not needed for it."""
    assert others.traits.name in ("soft", "set")
    seen = others.samples(frozenset({"logits", "labels"}))
    assert len(seen) == len(others.batches) == 3
    assert set(seen[0].available) == {"logits", "labels"}
    assert not seen[0]["logits"].requires_grad
    assert all(samples.assignment.is_valid.all() for samples in seen)


def test_pulls_on_a_framework_s_head_are_the_gradients_of_its_loss(others):
    """Of cross entropy over all its samples: |p - t| over the positives, each batch."""
    pulls, expected = others.pulls(RECIPES["ce"]()), []
    for samples in others.samples(frozenset({"logits", "labels"})):
        target = samples["labels"].unsqueeze(-1) == torch.arange(samples["logits"].shape[-1])
        size = (samples["logits"].sigmoid() - target.float()).abs().sum(-1)
        expected.append(size.flatten() / samples.assignment.is_positive.sum().clamp_min(1))
    torch.testing.assert_close(pulls.size, torch.cat(expected), rtol=1e-4, atol=1e-7)
    assert pulls.iou[pulls.is_positive].max() > 0
    assert pulls.iou[~pulls.is_positive].max() > 0


def test_what_a_recipe_leaves_out_of_a_framework_s_head_does_not_pull(others):
    own, mined = others.pulls(RECIPES["random"]()), others.pulls(RECIPES["hnm"](min_negatives=1))
    assert (own.size > 0).all()
    assert len(mined.size) < len(own.size) / 2
