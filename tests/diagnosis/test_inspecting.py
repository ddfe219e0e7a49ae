from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch

from hardmine.data import open_scenes
from hardmine.detectors import wrap
from hardmine.diagnosis.inspecting import (
    _at_all_proposals,
    _cut_at_the_heads,
    _Looking,
    contrast_of,
    inspect_detector,
    inspect_run,
)
from hardmine.diagnosis.watching import watch
from hardmine.errors import DataError, EvidenceError, RunError
from hardmine.recipes import RECIPES, Recipe
from hardmine.training import TrainingConfig, load_run, train
from hardmine.training.run import make_detector
from tests.diagnosis.test_watching import check_consistency
from tests.stand_in import DENSE, SETS

HEADS = {"retinanet": ["dense"], "fasterrcnn": ["rpn", "roi"], DENSE: ["last", "first"], SETS: ["last", "first"]}
OF_THE_WEIGHTS = ("bin", "count", "positives", "samples")


@pytest.mark.parametrize("detector", HEADS)
def test_a_run_of_any_detector_is_looked_into(run_of, few, stand_in, detector):
    folder = run_of(detector)
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    found = inspect_run(folder)
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before
    assert (found.detector, found.run, found.split, found.num_images) == (detector, str(folder), "train", 12)
    assert found.held_back is not None
    for heads in found.recipes.values():
        assert list(heads) == HEADS[detector]
        for of in heads.values():
            check_consistency(of)


@pytest.mark.parametrize("detector", HEADS)
def test_two_recipes_have_the_same_samples_and_pull_at_them_differently(run_of, few, stand_in, detector):
    """Of a RoI head, too, of which one recipe samples some proposals and the other ranks all of them."""
    recipes = {"random": RECIPES["random"](), "hnm": RECIPES["hnm"](min_negatives=1)}
    if detector == "fasterrcnn":
        recipes["ohem"] = RECIPES["ohem"](budget=8)
    found = inspect_run(run_of(detector), recipes).recipes
    final = "roi" if detector == "fasterrcnn" else HEADS[detector][0]
    first, *others = (of[final] for of in found.values())
    for other in others:
        for name in set(first.tables) - {"image"}:
            for row, same in zip(first.tables[name], other.tables[name], strict=True):
                assert {of: row[of] for of in OF_THE_WEIGHTS} == {of: same[of] for of in OF_THE_WEIGHTS}
        for of in ("candidates", "positives", "objects", "easy_negatives"):
            assert first.totals[of] == other.totals[of]
        assert first.totals["kept"] != other.totals["kept"]
        assert first.totals["negative_gradient"] != other.totals["negative_gradient"]


@pytest.mark.parametrize("batch_size", [1, 5])
def test_numbers_do_not_depend_on_the_batches(few, batch_size):
    """Of a detector whose Z is each image's own."""
    config = TrainingConfig(detector="retinanet", image_size=64, batch_size=12)
    own = {"own": Recipe("own")}
    whole, parts = (
        inspect_detector(of, own).recipes["own"]["dense"] for of in (config, replace(config, batch_size=batch_size))
    )
    assert whole.totals["classification_loss"] == pytest.approx(parts.totals["classification_loss"], rel=1e-4)
    for name, rows in whole.tables.items():
        for row, same in zip(rows, parts.tables[name], strict=True):
            assert row["bin"] == same["bin"]
            assert row["count"] == pytest.approx(same["count"], abs=1)  # cross entropy may be rounded across a border
            for of in ("samples", "loss", "weight", "gradient"):
                assert row[of] == pytest.approx(same[of], rel=1e-3, abs=1e-6)


def test_the_same_look_sees_the_same(run_of, few):
    first, again = (inspect_run(run_of("fasterrcnn")).to_dict() for _ in range(2))
    assert first == again


def test_only_so_many_images_of_another_split_are_looked_at(run_of, few):
    found = inspect_run(run_of("retinanet"), {"own": Recipe("own")}, split="val", num_images=3)
    assert (found.num_images, found.split) == (3, "val")
    names = [row["bin"] for row in found.recipes["own"]["dense"].tables["image"]]
    assert len(set(names)) == 3


def test_a_look_at_other_data_says_nothing_of_the_run_s_predictions(run_of, few):
    found = inspect_run(run_of("retinanet"), {"own": Recipe("own")}, data="scenes", split="val")
    assert found.held_back is None


def test_weights_and_gradients_of_the_detector_stay_as_they_are(few):
    """Nor does it learn anything of the batches: of an untrained one their statistics are theirs, and are not kept."""
    config = TrainingConfig(detector="ssdlite", backbone="tiny", image_size=64, batch_size=4)
    detector = make_detector(config, 10)
    before = {name: value.clone() for name, value in detector.model.state_dict().items()}
    _Looking(config, detector, open_scenes("train"), 4, is_trained=False).under({"own": Recipe("own")})
    after = detector.model.state_dict()
    running = [name for name in before if "running" in name]
    assert running
    assert all(torch.equal(value, after[name]) for name, value in before.items() if "num_batches" not in name)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in detector.model.parameters())


@pytest.mark.parametrize(
    ("detector", "recipe", "expected"),
    [
        ("retinanet", "random", "ce"),
        ("retinanet", "focal", "random"),
        ("fasterrcnn", "random", "ohem"),
        (SETS, "random", "ce"),
    ],
)
def test_beside_a_recipe_stands_one_that_shows_what_it_does(stand_in, detector, recipe, expected):
    config = TrainingConfig(detector=detector, recipe=recipe, image_size=64)
    assert contrast_of(config, make_detector(config, 3))[0] == expected


def test_what_cannot_be_looked_into_is_said(run_of, few, tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        inspect_run(tmp_path)
    with pytest.raises(DataError, match="no split 'tset'"):
        inspect_run(run_of("retinanet"), split="tset")
    with pytest.raises(EvidenceError, match="softmax"):
        inspect_run(run_of("fasterrcnn"), {"qfl": RECIPES["qfl"]()})


def test_a_run_that_finds_nothing_is_looked_into_all_the_same(run_of, few, monkeypatch):
    def nothing(_):
        raise RunError("finds nothing")

    monkeypatch.setattr("hardmine.diagnosis.inspecting.diagnose", nothing)
    found = inspect_run(run_of("retinanet"), {"own": Recipe("own")})
    assert found.held_back is None
    assert found.run == str(run_of("retinanet"))
    assert load_run(found.run).config.detector == "retinanet"


def test_a_head_run_on_all_proposals_pulls_as_it_does_in_training(make_model, make_batch):
    """OHEM's two passes of a training step, and the one pass of a look, cut off from the network."""
    images, targets = make_batch(1)
    found = []
    for is_look in (False, True):
        torch.manual_seed(0)
        detector = wrap(make_model("fasterrcnn"), RECIPES["ohem"](budget=8)).train()
        with ExitStack() as stack:
            if is_look:
                stack.enter_context(_at_all_proposals(detector))
                stack.enter_context(_cut_at_the_heads(detector))
            watched = stack.enter_context(watch(detector))
            watched.look_back(sum(detector(images, targets).values()))
        found.append(watched.tables()["roi"])
    trained, looked = found
    assert looked.totals["samples"] > trained.totals["samples"] == 3 * 8
    assert looked.totals["kept"] == trained.totals["kept"]
    for name in ("gradient", "positive_gradient", "classification_loss", "effective_samples_gradient"):
        assert looked.totals[name] == pytest.approx(trained.totals[name], rel=1e-4)
    for row, same in zip(looked.tables["class"], trained.tables["class"], strict=True):
        assert row["gradient"] == pytest.approx(same["gradient"], rel=1e-4)
        assert row["box_gradient"] == pytest.approx(same["box_gradient"], rel=1e-4)


@pytest.fixture(scope="module")
def run_of_masks(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hardmine.data.scenes._NUM_IMAGES", {"train": 6, "val": 2})
        config = TrainingConfig(task="segmentation", image_size=48, epochs=1, batch_size=4, workers=0)
        yield train(config, tmp_path_factory.mktemp("masks") / "run", progress=False).folder.path


def test_a_run_of_segmentation_is_looked_into_under_two_recipes(run_of_masks):
    before = {file: file.stat().st_mtime_ns for file in run_of_masks.rglob("*")}
    found = inspect_run(run_of_masks)
    assert {file: file.stat().st_mtime_ns for file in run_of_masks.rglob("*")} == before
    assert (found.detector, found.split, found.num_images, found.held_back) == ("lraspp", "train", 6, None)
    assert list(found.recipes) == ["random", "pixel_ohem"]
    own, hard = (heads["pixels"] for heads in found.recipes.values())
    for of in (own, hard):
        check_consistency(of)
        assert of.totals["samples"] == 6 * 48 * 48
    for name in set(own.tables) - {"image"}:
        for row, same in zip(own.tables[name], hard.tables[name], strict=True):
            assert (row["bin"], row["count"], row["samples"]) == (same["bin"], same["count"], same["samples"])
    assert own.totals["kept"] > hard.totals["kept"]
    assert own.totals["hard_gradient"] <= hard.totals["hard_gradient"]
    assert any("under random and" in sentence.text for sentence in found.sentences)
    again = inspect_run(run_of_masks)
    assert [sentence.text for sentence in again.sentences] == [sentence.text for sentence in found.sentences]


def test_a_segmenter_without_a_run_is_looked_into_on_some_images(run_of_masks):
    config = TrainingConfig(task="segmentation", image_size=48, batch_size=2, recipe="focal")
    found = inspect_detector(config, split="val", num_images=1)
    assert list(found.recipes) == ["focal", "random"]
    assert (found.split, found.num_images) == ("val", 1)
    assert found.final_head == "pixels"
