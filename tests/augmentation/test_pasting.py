import pytest
import torch
from hypothesis import given, settings, strategies as st
from torchvision import tv_tensors
from torchvision.ops import box_iou
from torchvision.transforms import v2

from hardmine.augmentation import HardCrops, PasteHard
from hardmine.data import TrainingTransform
from hardmine.errors import ConfigError
from tests.augmentation.conftest import backgrounds, colour, painted, places_of


@st.composite
def images(draw, most=4):
    """An image with boxes on whole pixels, the smallest of them one pixel, the largest the image."""
    height, width = draw(st.tuples(st.integers(1, 48), st.integers(1, 48)))
    boxes = []
    for _ in range(draw(st.integers(0, most))):
        x1, y1 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        boxes.append((x1, y1, draw(st.integers(x1 + 1, width)), draw(st.integers(y1 + 1, height))))
    return painted((height, width), boxes)


def pasting(source, **options):
    return PasteHard(HardCrops([source], places_of([source])), **options)


@settings(max_examples=60, deadline=None)
@given(images(), images().filter(lambda made: len(made[1]["boxes"])), st.integers(0, 2**31), st.booleans())
def test_whatever_is_pasted_hides_nothing_and_lies_in_the_image(onto, source, seed, is_crowd):
    image, target = onto
    target = target | {"iscrowd": target["iscrowd"] | is_crowd}
    torch.manual_seed(seed)
    options = {"most": 3, "most_iou": 0.1, "most_covered": 0.25, "tries": 5, "flips": (0.5, 0.5)}
    changed, after = TrainingTransform(pasting(source, **options))(image, target)
    num = len(target["boxes"])
    assert changed.shape == image.shape
    assert torch.equal(after["boxes"][:num], target["boxes"])
    assert torch.equal(after["labels"][:num], target["labels"])
    assert torch.equal(after["iscrowd"][:num], target["iscrowd"])
    assert len(after["labels"]) == len(after["iscrowd"]) == len(after["boxes"])
    added, height, width = after["boxes"][num:], *image.shape[-2:]
    assert (added[:, :2] >= 0).all()
    assert (added[:, 2:] <= torch.tensor([width, height])).all()
    assert (box_iou(added, target["boxes"]) <= 0.1 + 1e-5).all()
    touched = (changed != image).any(dim=0)
    for x1, y1, x2, y2 in target["boxes"].int().tolist():
        assert touched[y1:y2, x1:x2].sum() <= 0.25 * (x2 - x1) * (y2 - y1) * len(added) + 1e-5


@settings(max_examples=40, deadline=None)
@given(st.floats(0.3, 3.0), st.integers(0, 2**31))
def test_boxes_follow_pixels(scale, seed):
    source = painted((40, 40), [(10, 5, 30, 35)], [4])
    torch.manual_seed(seed)
    paste = pasting(source, most=1, scale=(scale, scale), flips=(0.5, 0.5))
    image, target = TrainingTransform(paste)(*painted((128, 128), []))
    x1, y1, x2, y2 = target["boxes"][0].tolist()
    assert (x2 - x1, y2 - y1) == pytest.approx((20 * scale, 30 * scale), rel=0.05, abs=1)
    blurred = max(1.0, scale) + 1  # what an edge is spread over when it is scaled
    inner = image[:, round(y1 + blurred) : round(y2 - blurred), round(x1 + blurred) : round(x2 - blurred)]
    assert (inner == colour(4)).all()
    rows, columns = (torch.where((image[0] > colour(4) / 2).any(dim=axis))[0] for axis in (1, 0))
    edges = [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
    assert [x1, y1, x2, y2] == pytest.approx(edges, abs=blurred)


def test_at_its_own_size_an_object_is_copied_pixel_by_pixel():
    torch.manual_seed(1)
    source = painted((40, 40), [(10, 5, 30, 35)])
    source[0][:, 5:35, 10:30] = torch.randint(1, 256, (3, 30, 20), dtype=torch.uint8)
    paste = pasting(source, most=1, scale=(1, 1))
    changed, after = TrainingTransform(paste)(*painted((64, 64), []))
    x1, y1, x2, y2 = after["boxes"][0].int().tolist()
    assert torch.equal(changed[:, y1:y2, x1:x2], source[0][:, 5:35, 10:30])


@pytest.mark.parametrize(("flips", "axes"), [((0, 0), []), ((1, 0), [2]), ((0, 1), [1]), ((1, 1), [1, 2])])
def test_what_is_pasted_is_flipped_as_was_asked(flips, axes):
    source = painted((40, 40), [(10, 5, 30, 35)])
    source[0][:, 5:35, 10:30] = torch.arange(600, dtype=torch.uint8).reshape(30, 20)
    changed, after = TrainingTransform(pasting(source, most=1, scale=(1, 1), flips=flips))(*painted((64, 64), []))
    x1, y1, x2, y2 = after["boxes"][0].int().tolist()
    assert torch.equal(changed[:, y1:y2, x1:x2], source[0][:, 5:35, 10:30].flip(axes))


def test_float_images_get_the_same_colours():
    source = painted((40, 40), [(10, 5, 30, 35)])
    image, target = painted((64, 64), [])
    torch.manual_seed(5)
    whole, _ = TrainingTransform(pasting(source))(image, target)
    torch.manual_seed(5)
    parts, _ = TrainingTransform(pasting(source))(v2.functional.to_dtype(image, scale=True), target)
    assert parts.dtype == torch.float32
    assert torch.allclose(parts * 255, whole.float(), atol=0.51)


def test_a_crowd_over_the_whole_image_lets_nothing_large_in():
    source = painted((40, 40), [(0, 0, 40, 40)])
    image, target = painted((40, 40), [(0, 0, 40, 40)])
    crowd = target | {"iscrowd": torch.tensor([True])}
    _, after = TrainingTransform(pasting(source, scale=(0.9, 1)))(image, crowd)
    assert len(after["boxes"]) == 1


def test_an_object_that_fits_nowhere_is_left_out():
    source = painted((200, 200), [(0, 0, 200, 200)])
    image, target = painted((16, 16), [])
    changed, after = TrainingTransform(pasting(source, scale=(0.5, 2)))(image, target)
    assert torch.equal(changed, image)
    assert len(after["boxes"]) == 0


def test_one_pixel_is_pasted_too():
    source = painted((40, 40), [(3, 3, 4, 4)])
    changed, after = TrainingTransform(pasting(source, most=1, scale=(1, 1)))(*painted((1, 1), []))
    assert after["boxes"].tolist() == [[0, 0, 1, 1]]
    assert (changed == colour(0)).all()


@settings(max_examples=30, deadline=None)
@given(images(), st.integers(0, 2**31))
def test_distractors_get_no_label_and_touch_no_object(onto, seed):
    image, target = onto
    source = painted((30, 30), [])
    source[0][:, 10:20, 10:20] = 255
    torch.manual_seed(seed)
    paste = PasteHard(HardCrops([source], backgrounds((0, (10, 10, 20, 20)))), most_iou=0, most_covered=0)
    changed, after = TrainingTransform(paste)(image, target)
    assert torch.equal(after["boxes"], target["boxes"])
    for x1, y1, x2, y2 in target["boxes"].int().tolist():
        assert torch.equal(changed[:, y1:y2, x1:x2], image[:, y1:y2, x1:x2])


def test_weights_follow():
    image, target = painted((20, 20), [(2, 2, 12, 12)])
    source = image, target | {"weights": torch.tensor([0.25])}
    _, after = TrainingTransform(pasting(source, most=1, scale=(1, 1)))(*painted((64, 64), [(0, 0, 5, 5)]))
    assert after["weights"].tolist() == [1, 0.25]


def test_what_was_given_stays_as_it_is():
    source = painted((20, 20), [(2, 2, 12, 12)])
    image, target = painted((64, 64), [(0, 0, 5, 5)])
    before = image.clone()
    pasting(source)(tv_tensors.Image(image), target)
    assert torch.equal(image, before)
    assert len(target["boxes"]) == 1
    assert (source[0][:, 2:12, 2:12] == colour(0)).all()


def test_the_same_seed_pastes_the_same_whatever_was_cut_before():
    source = painted((40, 40), [(10, 5, 30, 35), (0, 0, 6, 6)])
    paste = TrainingTransform(pasting(source))

    def once(seed):
        torch.manual_seed(seed)
        return paste(*painted((64, 64), []))

    first = once(3)
    once(4)
    again = once(3)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1]["boxes"], again[1]["boxes"])
    assert not torch.equal(first[0], once(4)[0])


@pytest.mark.parametrize(
    "options", [{"most": 0}, {"tries": 0}, {"scale": (0, 1)}, {"scale": (2, 1)}, {"scale": (1, float("nan"))},
                {"flips": (2, 0)}, {"most_iou": -0.1}, {"most_covered": 1.1}],
)  # fmt: skip
def test_numbers_outside_their_range_are_refused(options):
    with pytest.raises(ConfigError, match="expected"):
        pasting(painted((20, 20), [(2, 2, 12, 12)]), **options)
