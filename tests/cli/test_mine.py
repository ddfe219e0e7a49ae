"""`hardmine mine` on results that it did not write, and on thirty that nobody could use."""

import gzip
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from hardmine.data import open_dataset, open_scenes
from tests.mining.test_corrected import FAULTS, RIGHT, decide, expected as objects_as, mined_on, objects_of, write_coco

GOOD = {"image_id": 1, "category_id": 2, "bbox": [1, 2, 30, 40], "score": 0.5}


def packed(content: bytes) -> bytes:
    return gzip.compress(content)


def records(*changes: object) -> bytes:
    """Good records, changed."""
    parts = [GOOD | {"score": 0.25}, *(GOOD | c if isinstance(c, dict) else c for c in changes)]
    return json.dumps(parts).encode()


def without(name: str) -> bytes:
    return json.dumps([{key: value for key, value in GOOD.items() if key != name}]).encode()


BROKEN = {
    "absent": (None, "cannot be read"),
    "empty file": (b"", "not valid JSON"),
    "no record": (b"[]", "no prediction in it"),
    "truncated": (records()[:-5], "not valid JSON"),
    "two documents": (records() + records(), "not valid JSON"),
    "a trailing comma": (b"[1,]", "not valid JSON"),
    "binary": (b"\x00\x01\xff\xfe" * 9, "not valid JSON"),
    "not UTF-8": (b'["\xff"]', "not valid JSON"),
    "an image": (b"\x89PNG\r\n\x1a\n", "not valid JSON"),
    "deeply nested": (b"[" * 100_000, "not valid JSON"),
    "too many digits": (b"[" + b"9" * 5000 + b"]", "not valid JSON"),
    "an object": (b'{"images": []}', "expected a list of COCO results, got dict"),
    "a number": (b"3", "expected a list of COCO results, got int"),
    "truncated gzip": (packed(records())[:-12], "cannot be read"),
    "damaged gzip": (packed(records())[:12] + b"zz" + packed(records())[14:], "cannot be read"),
    "a record that is a list": (records([1, 2]), "record 1: expected an object"),
    "a record that is null": (records(None), "record 1: expected an object"),
    "no score": (without("score"), "record 0: lacks score"),
    "no box": (without("bbox"), "record 0: lacks bbox"),
    "an unknown image": (records({"image_id": 99}), "record 1: image_id 99 is not in the ground truth"),
    "an image by name": (records({"image_id": "a.jpg"}), "record 1: image_id 'a.jpg' is not"),
    "an image that is true": (records({"image_id": True}), "record 1: image_id True is not"),
    "an unknown category": (records({"category_id": 0}), "record 1: category_id 0 is not"),
    "NaN score": (records({"score": float("nan")}), "record 1: score must be a finite number"),
    "infinite score": (records({"score": float("inf")}), "record 1: score must be a finite number"),
    "a logit": (records({"score": 3.5}), "record 1: score is 3.5, expected 0 to 1"),
    "score as text": (records({"score": "0.9"}), "record 1: score must be a finite number"),
    "negative width": (records({"bbox": [1, 2, -3, 4]}), "record 1: bbox must be finite numbers"),
    "three sides": (records({"bbox": [1, 2, 3]}), "record 1: bbox must be finite numbers"),
    "NaN box": (records({"bbox": [1, float("nan"), 3, 4]}), "record 1: bbox must be finite numbers"),
    "a huge box": (records({"bbox": [1, 2, 1e300, 4]}), "record 1: bbox must be finite numbers"),
    "a box beyond floats": (records({"bbox": [1, 2, 10**400, 4]}), "record 1: bbox must be finite numbers"),
}


@pytest.fixture
def few_scenes(monkeypatch):
    monkeypatch.setattr("hardmine.data.scenes._NUM_IMAGES", {"train": 4, "val": 4})


def mine_scenes(hardmine, file: Path, out: Path, *more: str):
    return hardmine("mine", "--data", "scenes", "--split", "val", "--predictions", str(file), "--out", str(out), *more)


@pytest.mark.parametrize("case", BROKEN)
def test_broken_results_are_one_line_and_exit_code_2(hardmine, few_scenes, tmp_path, case):
    content, message = BROKEN[case]
    file, out = tmp_path / "results.json", tmp_path / "mined"
    if content is not None:
        file.write_bytes(content)
    done = mine_scenes(hardmine, file, out)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert str(file) in done.err
    assert message in done.err
    assert not out.exists()


@pytest.mark.parametrize("pack", [bytes, packed])
def test_results_are_mined_and_shown(hardmine, few_scenes, tmp_path, pack):
    (tmp_path / "results.json").write_bytes(pack(records({"score": 0.75})))
    done = mine_scenes(hardmine, tmp_path / "results.json", tmp_path / "mined", "--top", "1", "--show")
    assert done.code == 0, done.err
    for expected in ("hard positive", "hard negative", "missed", "0.750", "README.md"):
        assert expected in done.out, expected
    assert len(pl.read_parquet(tmp_path / "mined/predictions.parquet")) == 2
    again = mine_scenes(hardmine, tmp_path / "results.json", tmp_path / "mined")
    assert (again.code, "exists already" in again.err) == (2, True)


def test_category_ids_with_gaps_and_images_without_predictions(hardmine, tmp_path, shared):
    truth = json.loads((shared / "coco128/coco_val2017.json").read_text())
    for category in truth["categories"]:
        category["id"] = 3 * category["id"] + 7
    for annotation in truth["annotations"]:
        annotation["category_id"] = 3 * annotation["category_id"] + 7
    (tmp_path / "val.json").write_text(json.dumps(truth))
    file = tmp_path / "results.json.gz"
    results = [{key: a[key] for key in ("image_id", "category_id", "bbox")} for a in truth["annotations"][:50]]
    unique = {json.dumps(result): result | {"score": 0.5} for result in results}
    file.write_bytes(packed(json.dumps(list(unique.values())).encode()))
    command = ("mine", "--data", str(tmp_path / "val.json"), "--images", str(shared / "coco128"))
    done = hardmine(*command, "--predictions", str(file), "--out", str(tmp_path / "mined"))
    assert done.code == 0, done.err
    images = pl.read_parquet(tmp_path / "mined/images.parquet")
    assert len(images) == len(truth["images"])
    found = pl.read_parquet(tmp_path / "mined/predictions.parquet")
    assert set(found["category_id"]) == {result["category_id"] for result in results}
    assert set(found["kind"]) == {"hard positive"}


def test_a_run_is_mined_by_models_that_did_not_learn_the_images(hardmine, few_scenes, tmp_path):
    plain = ("--detector", "retinanet", "--image-size", "64", "--epochs", "1", "--batch-size", "4")
    assert hardmine("train", "--out", str(tmp_path / "run"), *plain).code == 0
    done = hardmine("mine", "--run", str(tmp_path / "run"), "--folds", "2", "--out", str(tmp_path / "mined"))
    assert done.code == 0, done.err
    assert sorted(folder.name for folder in (tmp_path / "run/folds").iterdir()) == ["1_of_2", "2_of_2"]
    assert len(pl.read_parquet(tmp_path / "mined/images.parquet")) == 4


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("--data", "scenes"),
        ("--predictions", "results.json"),
        ("--data", "scenes", "--predictions", "results.json", "--run", "run"),
        ("--data", "scenes", "--predictions", "results.json", "--folds", "3"),
    ],
)
def test_what_to_mine_must_be_clear(hardmine, tmp_path, given):
    done = hardmine("mine", *given, "--out", str(tmp_path / "mined"))
    assert (done.code, done.err) == (2, "give --data and --predictions, or --run and perhaps --folds\n")


def test_rounds_are_a_table(hardmine, few_scenes, tmp_path):
    plain = ("--detector", "retinanet", "--image-size", "64", "--epochs", "1", "--batch-size", "4")
    mined = ("--suspects", "drop", "--reassign", "2")
    done = hardmine("loop", "--rounds", "2", "--folds", "1", *mined, "--out", str(tmp_path / "l"), *plain)
    assert done.code == 0, done.err
    second = json.loads((tmp_path / "l/round2/config.json").read_text())
    assert (second["suspects"], second["reassign"]) == ("drop", 2)
    for expected in ("suspects", "one seed: no verdict", "over images only"):
        assert expected in done.out, expected
    assert "-0.0" in done.out or "+0.0" in done.out


def test_without_a_mined_folder_nothing_can_be_reassigned(hardmine, tmp_path):
    done = hardmine("train", "--reassign", "2", "--out", str(tmp_path / "run"))
    assert done.code == 2
    assert "no mined folder to say what was missed" in done.err
    assert not (tmp_path / "run").exists()


def test_predictions_in_parquet_are_mined_by_parts(hardmine, few_scenes, tmp_path):
    plain = ("--detector", "retinanet", "--image-size", "64", "--epochs", "1", "--batch-size", "4")
    assert hardmine("train", "--out", str(tmp_path / "run"), *plain).code == 0
    found = ("--predictions", str(tmp_path / "found"), "--data")
    assert hardmine("predict", str(tmp_path / "run"), "--split", "train", "--out", str(tmp_path / "found")).code == 0
    done = hardmine("mine", *found, "scenes", "--split", "train", "--out", str(tmp_path / "mined"), "--top", "2")
    assert done.code == 0, done.err
    assert len(pl.read_parquet(tmp_path / "mined/images.parquet")) == 4
    again = hardmine("mine", *found, str(tmp_path / "mined"), "--out", str(tmp_path / "again"))
    assert again.code == 0, again.err
    little = hardmine("mine", *found, "scenes", "--split", "train", "--out", str(tmp_path / "no"), "--memory", "0.1")
    assert (little.code, "memory must be above" in little.err) == (2, True)


def test_cvat_is_told_what_its_task_calls_the_images(hardmine, tmp_path, shared):
    """Of predictions in JSON, in Parquet, and where the labels are in Parquet too, beside no images."""
    data = ("--data", str(shared / "coco128/coco_val2017.json"), "--images", str(shared / "coco128"))
    truth = json.loads((shared / "coco128/coco_val2017.json").read_text())
    found = {"image_id": truth["images"][0]["id"], "category_id": truth["categories"][0]["id"], "score": 0.9}
    (tmp_path / "results.json").write_text(json.dumps([found | {"bbox": [1, 2, 30, 40]}]))
    pl.DataFrame([found | {"x1": 1.0, "y1": 2.0, "x2": 31.0, "y2": 42.0}]).write_parquet(tmp_path / "results.parquet")
    tables = ("--data", str(tmp_path / "0"), "--images", str(shared / "coco128"))
    for number, (labels, results) in enumerate([(data, "json"), (data, "parquet"), (tables, "parquet")]):
        out = tmp_path / str(number)
        command = ("mine", *labels, "--predictions", str(tmp_path / f"results.{results}"), "--out", str(out))
        done = hardmine(*command, "--cvat-names", "images/{file}")
        assert done.code == 0, done.err
        assert ' name="images/0' in (out / "suspects_cvat.xml").read_text()
        assert '"/data/local-files/?d=' in (out / "suspects_label_studio.json").read_text()
        refused = hardmine(*command[:-1], str(tmp_path / "refused"), "--cvat-names", "images")
        assert (refused.code, "cvat_names is 'images'" in refused.err) == (2, True)


def test_names_stay_whole_in_80_columns_and_steer_nothing(hardmine, tmp_path):
    """Names as long as a column, in brackets that rich takes for a style, and with an escape that clears a screen."""
    names = [f"sub dir/{'BloodImage_' * 6}00338.jpg", "[red]x[/red].jpg", "a\x1b[2Jb.jpg"]
    truth = {
        "images": [{"id": n, "file_name": name, "width": 64, "height": 48} for n, name in enumerate(names)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "bbox": [1, 2, 30, 40], "iscrowd": 0} for n in range(len(names))
        ],
        "categories": [{"id": 1, "name": "[b]cell"}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    results = [{"image_id": n, "category_id": 1, "bbox": [40, 2, 9, 9], "score": 0.5} for n in range(len(names))]
    (tmp_path / "results.json").write_text(json.dumps(results))
    command = ("mine", "--data", str(tmp_path / "truth.json"), "--predictions", str(tmp_path / "results.json"))
    done = hardmine(*command, "--out", str(tmp_path / "mined"), "--show")
    assert done.code == 0, done.err
    assert max(len(line) for line in done.out.splitlines() if not line.startswith(("Mined:", "A page"))) <= 80
    for whole in (names[1], "[b]cell", "a\\x1b[2Jb.jpg", "BloodImage_00338.jpg", "1 2 31 42"):
        assert whole in done.out
    assert "\x1b" not in done.out


def test_evaluate_takes_anybodys_predictions(hardmine, few_scenes, tmp_path, form_of_scenes):
    command = ("evaluate", "--data", "scenes", "--split", "val", "--predictions")
    done = hardmine(*command, str(form_of_scenes("xywh")))
    assert (done.code, "AP50         1.000" in done.out) == (0, True), done.err
    wrong = hardmine(*command, str(form_of_scenes("xyxy")))
    assert (wrong.code, "give --box-format xyxy" in wrong.err) == (2, True)
    again = hardmine(*command, str(form_of_scenes("xyxy")), "--box-format", "xyxy")
    assert (again.code, "AP50         1.000" in again.out) == (0, True)


@pytest.mark.parametrize("given", [(), ("--predictions", "x.json"), ("run", "--data", "d", "--predictions", "x.json")])
def test_what_to_evaluate_must_be_clear(hardmine, given):
    done = hardmine("evaluate", *given)
    assert (done.code, done.err) == (2, "give a run, or --predictions and --data\n")


@pytest.fixture
def form_of_scenes(tmp_path):
    """Writes a right prediction of each object, its box as corners or as sizes."""

    def write(box_format: str) -> Path:
        results = []
        for record in open_scenes("val").records:
            for label, (x1, y1, x2, y2) in zip(record.labels.tolist(), record.boxes.tolist(), strict=True):
                box = [x1, y1, x2, y2] if box_format == "xyxy" else [x1, y1, x2 - x1, y2 - y1]
                results.append({"image_id": record.image_id, "category_id": label + 1, "bbox": box, "score": 0.9})
        file = tmp_path / f"{box_format}.json"
        file.write_text(json.dumps(results))
        return file

    return write


def test_labels_are_exported_as_people_decided(hardmine, tmp_path):
    write_coco(tmp_path / "faulty", "train", RIGHT | FAULTS)
    mined = mined_on(tmp_path / "faulty", tmp_path / "mined")
    command = ("export", str(tmp_path / "faulty"), "--to", "voc", "--mined", str(mined), "--out", str(tmp_path / "out"))
    done = hardmine(*command, "--decisions", str(decide(mined)))
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        "Labels put right: 1 removed, 1 given another class, 1 moved, 1 added",
        f"Written: {tmp_path / 'out'}",
    ]
    assert objects_of(open_dataset(tmp_path / "out", "train")) == objects_as(RIGHT)


@pytest.mark.parametrize("given", [("--mined", "mined"), ("--decisions", "decisions.json")])
def test_decisions_are_about_a_mined_folder(hardmine, tmp_path, given):
    done = hardmine("export", "scenes", "--to", "coco", "--out", str(tmp_path / "out"), *given)
    assert (done.code, "give --mined and --decisions together" in done.err) == (2, True)
    assert not (tmp_path / "out").exists()


def test_wrong_decisions_are_one_line_and_nothing_is_written(hardmine, tmp_path):
    write_coco(tmp_path / "faulty", "train", RIGHT | FAULTS)
    mined = mined_on(tmp_path / "faulty", tmp_path / "mined")
    file = decide(mined)
    file.write_text(file.read_text().replace('"kind": "missing"', '"kind": "miss\\u001b[2Jing"'))
    command = ("export", str(tmp_path / "faulty"), "--to", "voc", "--mined", str(mined), "--out", str(tmp_path / "out"))
    done = hardmine(*command, "--decisions", str(file))
    assert (done.code, done.out, done.err.count("\n"), "\x1b" in done.err) == (2, "", 1, False)
    assert f"{file}: decision " in done.err
    assert not (tmp_path / "out").exists()


def write_masks(root: Path, num: int = 3) -> tuple[Path, Path]:
    """Images with masks of two classes, and predictions of a model that is sure of something else in a corner."""
    for folder in ("data/images", "data/masks", "found"):
        (root / folder).mkdir(parents=True)
    (root / "data" / "classes.txt").write_text("road\nsky\n")
    for number in range(num):
        mask = np.zeros((40, 50), np.uint8)
        mask[20:] = 1
        Image.fromarray(np.full((40, 50, 3), 9 * number, np.uint8)).save(root / "data" / "images" / f"{number}.png")
        Image.fromarray(mask).save(root / "data" / "masks" / f"{number}.png")
        mask[:10, :12] = 1
        Image.fromarray(mask).save(root / "found" / f"{number}.png")
    return root / "data", root / "found"


def test_masks_are_mined_by_any_model_s_predictions(hardmine, tmp_path):
    data, found = write_masks(tmp_path)
    told = ("mine", "--task", "segmentation", "--data", str(data), "--predictions", str(found))
    outcome = hardmine(*told, "--out", str(tmp_path / "mined"))
    assert outcome.code == 0, outcome.err
    assert "road → sky" in outcome.out
    assert "0, 0, 12, 10" in outcome.out
    assert f"Mined: {tmp_path / 'mined'}" in outcome.out
    regions = pl.read_parquet(tmp_path / "mined" / "regions.parquet")
    assert regions["pixels"].to_list() == [120] * 3
    assert json.loads((tmp_path / "mined" / "mined.json").read_text())["data"] == str(data)
    again = hardmine(*told, "--out", str(tmp_path / "mined"))
    assert again.code == 2
    assert "exists already" in again.err


def test_options_of_masks_are_not_for_boxes(hardmine, tmp_path):
    outcome = hardmine(
        "mine", "--data", "scenes", "--predictions", "x", "--instances", "--out", str(tmp_path / "mined")
    )
    assert outcome.code == 2
    assert "--classes and --instances are of masks; add --task segmentation" in outcome.err
    outcome = hardmine("mine", "--task", "segmentation", "--data", "scenes", "--out", str(tmp_path / "mined"))
    assert outcome.code == 2
    assert "give --data and --predictions" in outcome.err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--folds", "2"), "give --data and --predictions, or --run and perhaps --folds\n"),
        (("--box-format", "xyxy"), "--box-format is of boxes, and masks are mined; leave it out\n"),
        (("--category-offset", "1"), "--category-offset is of boxes, and masks are mined; leave it out\n"),
        (("--allow-unlabelled",), "--allow-unlabelled is of boxes, and masks are mined; leave it out\n"),
        (("--memory", "1"), "--memory is of boxes, and masks are mined; leave it out\n"),
        (("--cvat-names", "{file}"), "--cvat-names is of boxes, and masks are mined; leave it out\n"),
    ],
)
def test_options_of_boxes_are_not_for_masks(hardmine, tmp_path, given, message):
    data, found = write_masks(tmp_path)
    told = ("mine", "--task", "segmentation", "--data", str(data), "--predictions", str(found))
    outcome = hardmine(*told, *given, "--out", str(tmp_path / "mined"))
    assert (outcome.code, outcome.err) == (2, message)
    assert not (tmp_path / "mined").exists()


def test_as_many_suspect_regions_are_listed_as_asked_for(hardmine, tmp_path):
    data, found = write_masks(tmp_path)
    told = ("mine", "--task", "segmentation", "--data", str(data), "--predictions", str(found), "--top", "1")
    outcome = hardmine(*told, "--out", str(tmp_path / "mined"))
    assert outcome.code == 0, outcome.err
    assert outcome.out.count("road → sky") == 1


def test_a_run_of_masks_knows_its_classes(hardmine, monkeypatch, tmp_path):
    monkeypatch.setattr("hardmine.cli.mine._task_of", lambda run, asked: "segmentation")
    outcome = hardmine("mine", "--run", "run", "--classes", "sky,road", "--out", str(tmp_path / "mined"))
    assert (outcome.code, outcome.err) == (2, "run knows its classes; leave --classes and --instances out\n")


@pytest.mark.parametrize("given", [("--box-format", "xyxy"), ("--category-offset", "1"), ("--memory", "1")])
def test_a_run_makes_its_own_predictions(hardmine, monkeypatch, tmp_path, given):
    monkeypatch.setattr("hardmine.cli.mine._task_of", lambda run, asked: "detection")
    outcome = hardmine("mine", "--run", "run", *given, "--out", str(tmp_path / "mined"))
    message = f"{given[0]} is of anybody's predictions, and the run makes its own; leave it out\n"
    assert (outcome.code, outcome.err) == (2, message)
