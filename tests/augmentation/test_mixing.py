import pickle

import pytest
import torch

from hardmine.augmentation import augmentation, parse_chances
from hardmine.data import training_transform
from hardmine.errors import ConfigError
from tests.augmentation.conftest import backgrounds, painted, places_of

SOURCES = [painted((64, 64), [(10, 10, 30, 30)]), painted((64, 64), [])]


def changed(text, places=None):
    steps = augmentation(SOURCES, places or places_of(SOURCES), parse_chances(text))
    return training_transform(0, 0, 0, steps)(*painted((48, 48), [(0, 0, 4, 4)]))


def test_paste_adds_objects():
    _, target = changed("paste=1")
    assert target["labels"].tolist()[:2] == [0, 0]
    assert target["boxes"][0].tolist() == [0, 0, 4, 4]


@pytest.mark.parametrize("kind", ["crop", "mosaic"])
def test_crops_and_mosaics_replace_the_image(kind):
    _, target = changed(f"{kind}=1")
    assert [0, 0, 4, 4] not in target["boxes"].tolist()


def test_where_no_background_is_hard_there_are_no_distractors():
    image, target = changed("distractors=1")
    assert torch.equal(image, painted((48, 48), [(0, 0, 4, 4)])[0])
    assert len(target["boxes"]) == 1


def test_no_hard_object_to_paste_is_refused():
    with pytest.raises(ConfigError, match="no hard object to paste"):
        changed("paste=.5", backgrounds((1, (0, 0, 9, 9))))


def test_backgrounds_alone_do_for_distractors():
    image, target = changed("distractors=1", backgrounds((0, (10, 10, 30, 30))))
    assert len(target["boxes"]) == 2 or image.any()


def test_it_goes_to_other_processes():
    steps = augmentation(SOURCES, places_of(SOURCES), parse_chances("paste=1,crop=.2,mosaic=.2"))
    again = pickle.loads(pickle.dumps(training_transform(0, 0, 0, steps)))
    torch.manual_seed(0)
    image, _ = again(*painted((48, 48), []))
    torch.manual_seed(0)
    assert torch.equal(image, training_transform(0, 0, 0, steps)(*painted((48, 48), []))[0])
