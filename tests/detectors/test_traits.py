"""What is said of heads whose framework computes the losses: it needs no framework to be installed."""

from hardmine.detectors.traits import pixel_traits, set_traits, soft_traits


def test_neither_has_boxes_before_regression_nor_their_codes():
    for traits in (soft_traits("yolo", 3), set_traits("detr", 3)):
        assert traits.is_framework
        assert not traits.is_sampled
        assert not traits.evidence & {"boxes", "code_error"}


def test_only_a_dense_head_can_be_assigned_otherwise():
    assert soft_traits("yolo", 3).assign_evidence == {"levels", "predictions"}
    assert set_traits("detr", 3, "softmax").assign_evidence == frozenset()


def test_pixels_have_classes_and_nothing_of_boxes():
    traits = pixel_traits("segmenter", 3)
    assert not traits.is_framework
    assert not traits.is_sampled
    assert traits.evidence == {"labels", "logits", "classification_loss", "noise", "progress"}
