import numpy as np

from hardmine.claims.claim import Claim
from hardmine.claims.offline_mining import CLAIMS, Crops, crops_of, with_hard_positives
from hardmine.data import open_scenes
from tests.claims.made import MadeRuns


def test_backgrounds_lie_on_no_object():
    scenes = open_scenes("train", num_images=6, size=96)
    crops = crops_of(scenes, 4, seed=0)
    num_objects = sum(len(record.boxes) for record in scenes.records[:4])
    assert crops.is_object.sum() == num_objects
    assert 0 < (~crops.is_object).sum() <= 4 * 40
    assert np.isfinite(crops.features).all()
    again, other = crops_of(scenes, 4, seed=0), crops_of(scenes, 4, seed=1)
    np.testing.assert_array_equal(crops.features, again.features)
    assert other.features.shape != crops.features.shape or (other.features != crops.features).any()


def test_objects_that_are_missed_come_to_count_more():
    rng = np.random.default_rng(0)
    is_object = np.arange(400) < 20
    features = rng.normal(size=(400, 2)) + is_object[:, None] * 1.5
    crops, rows = Crops(features, is_object), np.arange(400)
    weighed = with_hard_positives(crops, rows)
    from sklearn.svm import LinearSVC

    plain = LinearSVC(random_state=0).fit(features, crops.labels)
    recalls = [model.predict(features)[is_object].mean() for model in (plain, weighed)]
    assert recalls[1] > recalls[0]


def test_the_claim_is_measured_on_scenes(monkeypatch):
    monkeypatch.setattr("hardmine.data.scenes._NUM_IMAGES", {"train": 12, "val": 8})
    (claim,) = CLAIMS
    assert isinstance(claim, Claim)
    growth, lost, back = claim.measure(MadeRuns({})).contrasts
    assert growth.values.shape == (3,)
    assert (growth.values >= 0).all()
    assert lost.claimed == "below"
    assert (back.values >= -1).all()
