import numpy as np
import pytest

from hardmine.data import open_scenes
from hardmine.evaluation import evaluate_predictions, match_predictions
from hardmine.files.writing import write_json
from hardmine.report.precision_recall import precision_at_recalls, precision_recall_panels
from hardmine.training import TrainingConfig


def predictions(truth: dict, seed: int) -> list[dict]:
    """Some of the labels, moved, some of another class, with random scores."""
    rng = np.random.default_rng(seed)
    ids = [category["id"] for category in truth["categories"]]
    return [
        {
            "image_id": of["image_id"],
            "category_id": of["category_id"] if rng.random() < 0.8 else int(rng.choice(ids)),
            "bbox": (np.array(of["bbox"]) + rng.normal(0, 2, 4)).clip(0.5).tolist(),
            "score": float(rng.random()),
        }
        for of in truth["annotations"]
        if rng.random() < 0.9
    ]


@pytest.mark.parametrize("seed", range(3))
def test_the_mean_height_of_the_curve_is_ap(seed):
    truth = open_scenes("val", 20).coco_ground_truth()
    found = predictions(truth, seed)
    metrics, matches = evaluate_predictions(truth, found), match_predictions(truth, found)
    assert precision_at_recalls(matches, 0).mean() == pytest.approx(metrics.ap50)
    assert precision_at_recalls(matches, 5).mean() == pytest.approx(metrics.ap75)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setattr("hardmine.data.scenes._NUM_IMAGES", {"train": 4, "val": 12})
    truth = open_scenes("val").coco_ground_truth()
    folders = [tmp_path / f"seed{seed}" for seed in range(2)]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        (folder / "config.json").write_text(TrainingConfig().to_json())
        write_json(folder / "predictions_val.json", predictions(truth, seed))
    return {"random": folders}


def test_a_line_a_run(runs):
    panels, note = precision_recall_panels(runs)
    assert note == ""
    assert [[series.name for series in panel.series] for panel in panels] == [["random", "random"]] * 2
    assert all(np.all(np.diff(series.y) <= 1e-12) for panel in panels for series in panel.series)


def test_data_that_is_not_there_is_a_line_of_the_page(runs):
    config = runs["random"][0] / "config.json"
    config.write_text(TrainingConfig(data="nowhere").to_json())
    panels, note = precision_recall_panels(runs)
    assert panels == []
    assert "no file or folder 'nowhere'" in note


def test_runs_measured_on_other_data_are_left_out(runs):
    (runs["random"][1] / "config.json").write_text(TrainingConfig(data="nowhere").to_json())
    panels, _ = precision_recall_panels(runs)
    assert len(panels[0].series) == 1


def test_no_predictions(runs, tmp_path):
    assert "no run has kept its predictions" in precision_recall_panels({"a": [tmp_path / "no"]})[1]
