import pytest
import torch
from hypothesis import given, settings, strategies as st

from hardmine.augmentation import CropHard, HardCrops, HardMosaic
from hardmine.data import TrainingTransform
from hardmine.errors import ConfigError
from tests.augmentation.conftest import backgrounds, colour, painted, places_of
from tests.augmentation.test_pasting import images

nonempty = images().filter(lambda made: len(made[1]["boxes"]))


def crops(*sources):
    return HardCrops(list(sources), places_of(list(sources)))


@settings(max_examples=60, deadline=None)
@given(nonempty, st.integers(0, 2**31))
def test_a_crop_has_its_objects_where_their_pixels_are(source, seed):
    torch.manual_seed(seed)
    image, target = TrainingTransform(CropHard(crops(source), least_px=4))(*painted((9, 9), []))
    height, width = image.shape[-2:]
    assert height <= source[0].shape[-2]
    assert width <= source[0].shape[-1]
    assert len(target["boxes"])
    last = target["labels"].argmax()  # painted over all others
    x1, y1, x2, y2 = target["boxes"][last].int().tolist()
    assert (image[:, y1:y2, x1:x2] == colour(int(target["labels"][last]))).all()
    assert ((target["boxes"][:, 2:] - target["boxes"][:, :2]) > 0).all()


def test_a_crop_has_the_whole_place_in_it():
    source = painted((200, 200), [(90, 60, 96, 140)])
    for _ in range(30):
        image, target = TrainingTransform(CropHard(crops(source), context=(1, 1)))(*painted((9, 9), []))
        assert image.shape == (3, 80, 80)
        x1, y1, x2, y2 = target["boxes"][0].tolist()
        assert (x2 - x1, y2 - y1) == (6, 80)


def test_what_is_cut_to_a_sliver_becomes_a_crowd():
    source = painted((200, 200), [(10, 10, 20, 20), (26, 0, 200, 200)])
    place = HardCrops([source], places_of([source]).only(places_of([source]).labels == 0))
    for _ in range(20):
        _, target = TrainingTransform(CropHard(place, context=(3, 3), visible=0.2))(*painted((9, 9), []))
        assert target["iscrowd"].tolist() == [False, True][: len(target["labels"])]


def test_a_hard_background_is_a_training_image_too():
    source = painted((50, 50), [])
    image, target = TrainingTransform(CropHard(HardCrops([source], backgrounds((0, (10, 10, 20, 20))))))(
        source[0], source[1]
    )
    assert len(target["boxes"]) == 0
    assert min(image.shape[-2:]) >= 32


@settings(max_examples=60, deadline=None)
@given(nonempty, images(), st.integers(0, 2**31))
def test_a_mosaic_has_its_objects_within_it(source, onto, seed):
    torch.manual_seed(seed)
    image, target = TrainingTransform(HardMosaic(crops(source)))(*onto)
    assert image.shape == onto[0].shape
    if min(image.shape[-2:]) > 1:
        limits = torch.tensor([image.shape[-1], image.shape[-2]])
        assert (target["boxes"][:, :2] >= 0).all()
        assert (target["boxes"][:, 2:] <= limits + 1e-3).all()
        assert len(target["boxes"]) == len(target["labels"]) == len(target["iscrowd"]) >= 4
        assert target["image_id"] == 7


def test_boxes_of_a_mosaic_follow_pixels():
    source = painted((60, 60), [(20, 10, 40, 50)], [5])
    seen = 0
    for _ in range(20):
        image, target = TrainingTransform(HardMosaic(crops(source), split=0.4))(*painted((100, 90), []))
        for box in target["boxes"].tolist():
            x1, y1, x2, y2 = round(box[0] + 1.5), round(box[1] + 1.5), round(box[2] - 1.5), round(box[3] - 1.5)
            assert (image[:, y1:y2, x1:x2] == colour(5)).all()
            seen += max(x2 - x1, 0) * max(y2 - y1, 0)
        inside = torch.zeros(100, 90, dtype=torch.bool)
        for x1, y1, x2, y2 in target["boxes"].tolist():
            inside[max(int(y1) - 2, 0) : int(y2) + 3, max(int(x1) - 2, 0) : int(x2) + 3] = True
        assert not image[:, ~inside].any()
    assert seen > 1000


def test_objects_of_a_mosaic_are_none_of_the_images_own():
    image, target = painted((60, 60), [(20, 10, 40, 50)])
    source = image, target | {"place": torch.tensor([0]), "proposals": target["boxes"], "weights": torch.tensor([0.5])}
    _, mixed = TrainingTransform(HardMosaic(crops(source)))(*source)
    assert set(mixed["place"].tolist()) == {-1}
    assert set(mixed["weights"].tolist()) == {0.5}
    assert torch.equal(mixed["proposals"], mixed["boxes"])


def test_the_same_seed_gives_the_same():
    source = painted((60, 60), [(20, 10, 40, 50), (0, 0, 10, 10)])
    for transform in (CropHard(crops(source)), HardMosaic(crops(source))):
        torch.manual_seed(2)
        first = TrainingTransform(transform)(*source)
        torch.manual_seed(2)
        again = TrainingTransform(transform)(*source)
        assert torch.equal(first[0], again[0])
        assert torch.equal(first[1]["boxes"], again[1]["boxes"])


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (CropHard, {"context": (0, 1)}),
        (CropHard, {"context": (3, 2)}),
        (CropHard, {"least_px": 0}),
        (CropHard, {"visible": 2}),
        (HardMosaic, {"scale": (-1, 1)}),
        (HardMosaic, {"split": 0.6}),
        (HardMosaic, {"visible": -1}),
    ],
)
def test_numbers_outside_their_range_are_refused(kind, options):
    with pytest.raises(ConfigError, match="expected"):
        kind(crops(painted((60, 60), [(20, 10, 40, 50)])), **options)
