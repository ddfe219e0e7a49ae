"""What differs from torchvision's SSD on purpose: background images, and nothing counted twice."""

import torch

from hardmine import CrossEntropy, recipes, wrap


def classification_gradient(detector, batch) -> torch.Tensor:
    detector.model.zero_grad()
    detector(*batch)["classification"].backward()
    return sum(p.grad.abs().sum() for p in detector.model.head.classification_head.parameters() if p.grad is not None)


def test_a_background_image_teaches_background_with_hnm_only(make_model, make_batch):
    model = make_model("ssd")
    batch = make_batch(1, (0,))
    assert classification_gradient(wrap(model, recipes.random()).train(), batch) == 0  # torchvision's own rule
    assert classification_gradient(wrap(model, recipes.hnm()).train(), batch) > 0


def test_hnm_with_no_floor_is_the_frameworks_own(make_model, make_batch, loss_and_gradients):
    model, batch = make_model("ssd"), make_batch(1)
    ours = loss_and_gradients(wrap(model, recipes.hnm(min_negatives=0)).train(), model, *batch)
    torch.testing.assert_close(ours[0], loss_and_gradients(model, model, *batch)[0], rtol=1e-6, atol=1e-6)


def test_where_negatives_run_out_no_positive_counts_twice(make_model, make_batch, loss_and_gradients):
    """torchvision fills up with positives: with a ratio larger than the negatives there are, it counts them twice."""
    model, batch = make_model("ssd"), make_batch(1, (5,))
    model.neg_to_pos_ratio = 10**5
    detector = wrap(model, recipes.random()).train()
    seen = []
    detector.head.classify.loss.register_forward_hook(lambda _, args, out: seen.append((args[1], out.detach())))
    ours, _ = loss_and_gradients(detector, model, *batch)
    ((labels, loss),) = seen
    num_positives = (labels >= 0).sum()
    torch.testing.assert_close(ours["classification"], loss.sum() / num_positives)
    theirs, _ = loss_and_gradients(model, model, *batch)
    twice = (loss.sum() + loss[labels >= 0].sum()) / num_positives
    torch.testing.assert_close(theirs["classification"], twice)


def test_the_scores_are_softmax_with_background_last_inside(make_model, make_batch):
    model = make_model("ssd")
    detector = wrap(model, recipes.random()).train()
    assert isinstance(detector.head.classify.loss, CrossEntropy)
    outputs = {"cls_logits": torch.arange(4.0).expand(1, 2, 4)}
    assert detector.class_scores(outputs)[0, 0].tolist() == [1, 2, 3, 0]
