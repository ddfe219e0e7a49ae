"""From a mined folder to what is drawn in training."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from hardmine.core.boxes import SIDES
from hardmine.data import DetectionDataset, ImageRecord, open_dataset
from hardmine.errors import ConfigError, DataError
from hardmine.mining import mine, write_mined
from hardmine.training import train
from hardmine.training.batches import TrainingImages
from hardmine.training.data import open_training_data
from hardmine.training.mined import image_weights, mark_missed, treat_suspects


@pytest.fixture
def dataset(small_data):
    return open_dataset(small_data, "train")


def table(folder, ids, weights):
    pl.DataFrame({"image_id": ids, "weight": weights}).write_parquet(folder / "images.parquet")
    return folder


def test_weights_are_found_by_image_id(dataset, tmp_path):
    ids = [record.image_id for record in dataset.records]
    table(tmp_path, [*reversed(ids), 10_000], [float(i) for i in range(len(ids) + 1)])
    assert image_weights(tmp_path, dataset).tolist() == list(reversed(range(len(ids))))


def test_what_is_mined_is_what_is_drawn(dataset, tmp_path):
    first = dataset.records[0]
    x1, y1, x2, y2 = first.boxes[0].tolist()
    result = {"image_id": first.image_id, "category_id": dataset.category_ids[first.labels[0]]}
    tables = mine(dataset, [result | {"bbox": [x1, y1, x2 - x1, y2 - y1], "score": 1.0}])
    write_mined(tmp_path / "mined", tables, "results.json")
    assert image_weights(tmp_path / "mined", dataset).tolist() == tables.images["weight"].to_list()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (None, "images.parquet: cannot be read"),
        (["a"] * 99, "cannot be read"),
        ([1.0], "no image id"),
        ([0.0] * 99, "not all 0"),
        ([-1.0] * 99, "at least 0"),
        ([float("nan")] * 99, "finite"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(dataset, tmp_path, weights, message):
    ids = [record.image_id for record in dataset.records]
    if weights is not None:
        table(tmp_path, ids[: len(weights)], weights[: len(ids)])
    with pytest.raises(DataError, match=message):
        image_weights(tmp_path, dataset)


def test_an_image_twice_is_refused(dataset, tmp_path):
    ids = [record.image_id for record in dataset.records]
    with pytest.raises(DataError, match="an image id twice"):
        image_weights(table(tmp_path, [*ids, ids[0]], [1.0] * (len(ids) + 1)), dataset)


def test_a_training_draws_by_the_mined_weights(dataset, small, tmp_path, monkeypatch):
    ids = [record.image_id for record in dataset.records]
    table(tmp_path, ids, np.eye(len(ids))[1])
    seen, original = set(), TrainingImages.__getitem__

    def watched(self, key):
        seen.add(key[1])
        return original(self, key)

    monkeypatch.setattr(TrainingImages, "__getitem__", watched)
    train(small(mined=str(tmp_path), epochs=1), tmp_path / "run", progress=False)
    assert seen == {1}


@pytest.fixture
def mined(dataset, tmp_path):
    """Suspects on the first two images: a spurious label, and two places where one is missing."""
    first, second = dataset.records[:2]
    rows = [
        {"image_id": first.image_id, "kind": "spurious", "probability": 0.75, **sides("", first.boxes[0])},
        {"image_id": first.image_id, "kind": "missing", "probability": 0.5, **sides("suggested_", [1, 2, 30, 40])},
        {"image_id": second.image_id, "kind": "missing", "probability": 0.5, **sides("suggested_", [-5, 0, 99, 9])},
    ]
    pl.DataFrame(rows, schema_overrides={f"suggested_{side}": pl.Float64 for side in SIDES}).write_parquet(
        tmp_path / "suspects.parquet"
    )
    return tmp_path


def sides(prefix, box):
    return {f"{prefix}{side}": float(value) for side, value in zip(SIDES, box, strict=True)}


def test_suspects_are_kept_as_they_are(dataset, mined):
    assert treat_suspects(mined, dataset, "keep") is dataset


def test_suspects_weigh_less_and_missing_ones_are_no_background(dataset, mined):
    treated = treat_suspects(mined, dataset, "down")
    first, before = treated.records[0], dataset.records[0]
    num = len(before.labels)
    assert first.weights.tolist() == [0.25] + [1] * num
    assert first.is_crowd.tolist() == [False] * num + [True]
    assert first.boxes.tolist() == [*before.boxes.tolist(), [1, 2, 30, 40]]
    assert treated.records[1].boxes[-1].tolist() == [0, 0, 64, 9]
    assert treated.records[2:] == dataset.records[2:]
    assert treated[0][1]["weights"].tolist() == first.weights.tolist()


def test_dropped_suspects_are_neither_object_nor_background(dataset, mined):
    first = treat_suspects(mined, dataset, "drop").records[0]
    assert first.is_crowd.tolist() == [True] + [False] * (len(first.labels) - 2) + [True]
    assert first.weights is None


def decisions_on(mined, dataset, *decisions):
    """A file that decides the suspects of the fixture, in their order; None leaves one open."""
    ids = [record.image_id for record in dataset.records]
    names = list(dataset.file_names)
    pl.DataFrame({"image_id": ids, "file_name": names, "weight": 1.0}).write_parquet(mined / "images.parquet")
    table = pl.read_parquet(mined / "suspects.parquet", columns=["image_id", "kind"])
    rows = [
        row | {"row": number, "file_name": names[ids.index(row["image_id"])], "decision": decision}
        for number, (row, decision) in enumerate(zip(table.iter_rows(named=True), decisions, strict=True))
        if decision
    ]
    file = mined / "decisions.json"
    file.write_text(json.dumps({"format": 1, "mined": str(mined), "decisions": rows}))
    return str(file)


@pytest.mark.parametrize(("decision", "as_how"), [("accept", "drop"), ("reject", "keep"), (None, "down")])
def test_what_all_was_decided_alike_is_as_that_was_asked_for(dataset, mined, decision, as_how):
    decided = treat_suspects(mined, dataset, decisions_on(mined, dataset, *[decision] * 3))
    asked = treat_suspects(mined, dataset, as_how)
    for one, other in zip(decided.records, asked.records, strict=True):
        for name in ("boxes", "labels", "is_crowd", "weights"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_each_suspect_is_treated_as_it_was_decided(dataset, mined):
    first, second, *_ = treat_suspects(mined, dataset, decisions_on(mined, dataset, "reject", "accept", None)).records
    num = len(dataset.records[0].labels)
    assert first.is_crowd.tolist() == [False] * num + [True]
    assert first.weights is None
    assert second.is_crowd.sum() == 1
    first, second, *_ = treat_suspects(mined, dataset, decisions_on(mined, dataset, None, "reject", "reject")).records
    assert first.weights.tolist() == [0.25] + [1] * (num - 1)
    assert not first.is_crowd.any()
    assert second is dataset.records[1]


def test_what_becomes_of_decided_suspects_is_told(dataset, mined, caplog):
    file = decisions_on(mined, dataset, "reject", "accept", None)
    with caplog.at_level("INFO", logger="hardmine"):
        treat_suspects(mined, dataset, file)
    assert "of 3 suspects 1 are left out as accepted, 1 kept as rejected, 1 undecided and weighed down" in caplog.text


def test_a_training_takes_decisions_and_refuses_those_of_another_folder(dataset, small, mined, tmp_path):
    file = decisions_on(mined, dataset, "accept", "reject", None)
    result = train(small(mined=str(mined), suspects=file, epochs=1), tmp_path / "run", progress=False)
    assert result.config.suspects == file
    (mined / "other").mkdir()
    (mined / "other/images.parquet").write_bytes((mined / "images.parquet").read_bytes())
    others = pl.read_parquet(mined / "suspects.parquet").with_columns(probability=0.5)
    others.write_parquet(mined / "other/suspects.parquet")
    with pytest.raises(DataError, match="the decisions are of the mined folder"):
        train(small(mined=str(mined / "other"), suspects=file), tmp_path / "refused", progress=False)
    assert not (tmp_path / "refused").exists()
    with pytest.raises(ConfigError, match="no mined folder"):
        small(suspects=file)


def test_labels_that_changed_since_are_refused(dataset, mined):
    file = mined / "suspects.parquet"
    table = pl.read_parquet(file)
    table.with_columns(pl.col("x1") + 1).write_parquet(file)
    with pytest.raises(DataError, match=r"suspects.parquet: image id 1 has no label with the box"):
        treat_suspects(mined, dataset, "down")
    table.with_columns(pl.col("probability") * 2).write_parquet(file)
    with pytest.raises(DataError, match="probabilities must be from 0 to 1"):
        treat_suspects(mined, dataset, "down")


def test_a_training_sees_suspects_only_in_what_it_learns_from(small, mined, dataset):
    pl.DataFrame({"image_id": [r.image_id for r in dataset.records], "weight": 1.0}).write_parquet(
        mined / "images.parquet"
    )
    seen = []
    for fold in ("1/2", "2/2"):
        train_data, held = open_training_data(small(mined=str(mined), suspects="drop", fold=fold))
        seen += [(record.image_id, int(record.is_crowd.sum())) for record in train_data.records]
        assert not any(record.is_crowd.any() for record in held.records)
    crowds = {dataset.records[0].image_id: 2, dataset.records[1].image_id: 1}
    assert sorted(seen) == [(record.image_id, crowds.get(record.image_id, 0)) for record in dataset.records]
    train(small(mined=str(mined), suspects="down", epochs=1), mined / "run", progress=False)


def test_suspects_need_a_mined_folder(small):
    with pytest.raises(ConfigError, match="no mined folder"):
        small(suspects="down")
    with pytest.raises(ConfigError, match="one of keep, down, drop"):
        small(suspects="burn", mined="x")


def folder_of(names, top="/data/images", changes=None, objects=None):
    """Images of 64x48 in a folder without ids of their own; objects: (class, x1, y1, x2, y2) of each image by name."""
    usual = [("cat", 5, 6, 25, 21)]
    records = []
    for number, name in enumerate(sorted(names), start=1):
        rows = (objects or {}).get(name, usual)
        fields = {
            "width": 64,
            "height": 48,
            "boxes": np.array([row[1:] for row in rows], dtype=np.float32).reshape(-1, 4),
            "labels": np.array([CLASSES.index(row[0]) for row in rows], dtype=np.int64),
            "is_crowd": np.zeros(len(rows), dtype=bool),
            **(changes or {}).get(name, {}),
        }
        records.append(ImageRecord(number, Path(top) / name, is_numbered=True, **fields))
    return DetectionDataset("folder", "train", CLASSES, (0, 1, 2), records)


CLASSES = ("cat", "dog", "eel")


def mine_folder(dataset, out, predictions):
    """predictions: (file, class, x1, y1, x2, y2, score)."""
    records = [
        {"file_name": name, "category": category, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
        for name, category, x1, y1, x2, y2, score in predictions
    ]
    tables = mine(dataset, records)
    write_mined(out, tables, "results.json")
    return dict(tables.images.select("file_name", "weight").iter_rows())


NAMES = ["1.jpg", "10.jpg", "2.jpg", "sub/1.jpg", "sub/3.jpg"]
EASY = [(f"images/{name}", "cat", 5, 6, 25, 21, 1.0) for name in NAMES[:-1]]  # sub/3.jpg is the hard one


@pytest.mark.parametrize("gone", [[], ["1.jpg"], ["2.jpg", "10.jpg"], ["1.jpg", "2.jpg", "10.jpg"]])
@pytest.mark.parametrize("top", ["/data/images", "/elsewhere/copy"])
def test_weights_stay_with_their_images(tmp_path, gone, top):
    """Also where only those of a folder below are left, and where the whole was moved."""
    weights = mine_folder(folder_of(NAMES), tmp_path / "mined", EASY)
    assert weights["sub/3.jpg"] > 1 > weights["sub/1.jpg"]
    left = [name for name in NAMES if name not in gone]
    expected = [weights[name] for name in sorted(left)]
    assert image_weights(tmp_path / "mined", folder_of(left, top)).tolist() == expected


def test_an_image_that_came_since_is_named(tmp_path):
    mine_folder(folder_of(NAMES), tmp_path / "mined", EASY)
    with pytest.raises(DataError, match=r"no image '0.jpg'; mine the split .*again if images were added"):
        image_weights(tmp_path / "mined", folder_of([*NAMES, "0.jpg"]))
    with pytest.raises(DataError, match=r"no image 'other/3.jpg'"):
        image_weights(tmp_path / "mined", folder_of([*NAMES, "other/3.jpg"]))


def test_an_image_that_was_replaced_is_named(tmp_path):
    mine_folder(folder_of(NAMES), tmp_path / "mined", EASY)
    with pytest.raises(DataError, match=r"2\.jpg was 64x48 and is 48x64; mine again"):
        image_weights(tmp_path / "mined", folder_of(NAMES, changes={"2.jpg": {"width": 48, "height": 64}}))


def test_an_image_that_mining_left_out_is_drawn_as_the_mean(tmp_path):
    incomplete = {"2.jpg": {"is_complete": False}}
    weights = mine_folder(folder_of(NAMES, changes=incomplete), tmp_path / "mined", EASY)
    assert "2.jpg" not in weights
    drawn = image_weights(tmp_path / "mined", folder_of(NAMES, changes=incomplete))
    assert drawn[sorted(NAMES).index("2.jpg")] == 1


def test_numbers_are_not_enough_where_the_data_set_has_no_ids(tmp_path):
    table(tmp_path, [1, 2, 3, 4, 5], [1.0] * 5)
    with pytest.raises(DataError, match="no file names, and folder has no ids of its own"):
        image_weights(tmp_path, folder_of(NAMES))


SHARED = [("cat", 5, 6, 25, 21), ("dog", 5, 6, 25, 21), ("eel", 5, 6, 25, 21), ("eel", 30, 6, 50, 21)]
SURE = [("images/a.jpg", "dog", 5, 6, 25, 21, 0.95), ("images/a.jpg", "eel", 30, 6, 50, 21, 0.95)]


@pytest.mark.parametrize(
    "labels", [SHARED, SHARED[::-1], [("cat", 0, 0, 9, 9), *SHARED], [*SHARED, ("dog", 40, 30, 60, 40)], SHARED[:3]]
)
def test_of_labels_on_one_box_the_right_ones_are_doubted(tmp_path, labels):
    """Whatever other images and labels have come or gone since: a dog is sure there, so cat and eel are suspects."""
    mine_folder(folder_of(["a.jpg", "b.jpg"], objects={"a.jpg": SHARED}), tmp_path / "mined", SURE)
    dataset = folder_of(["a.jpg", "b.jpg"], objects={"a.jpg": labels})
    for how in ("drop", "down"):
        treated = treat_suspects(tmp_path / "mined", dataset, how).records[0]
        weights = np.ones(len(labels)) if treated.weights is None else treated.weights
        doubted = (treated.is_crowd | (weights < 1))[: len(labels)]
        is_suspect = [label[0] in ("cat", "eel") and label[1] == 5 for label in labels]
        assert doubted.tolist() == is_suspect


@pytest.mark.parametrize("before", [[], [("cat", 0, 0, 9, 9)]])
def test_a_crowd_on_the_box_of_a_suspect_is_not_doubted(tmp_path, before):
    is_crowd = {"is_crowd": np.array([True, False, False])}
    mined = folder_of(["a.jpg"], objects={"a.jpg": [SHARED[0], *SHARED[:2]]}, changes={"a.jpg": is_crowd})
    mine_folder(mined, tmp_path / "mined", SURE[:1])
    labels = [*before, SHARED[0], *SHARED[:2]]
    is_crowd = {"is_crowd": np.array([False] * len(before) + [True, False, False])}
    dataset = folder_of(["a.jpg"], objects={"a.jpg": labels}, changes={"a.jpg": is_crowd})
    weights = treat_suspects(tmp_path / "mined", dataset, "down").records[0].weights
    assert (weights < 1).tolist() == [*(False for _ in before), False, True, False]


@pytest.mark.parametrize("changed", [("dog", 5, 6, 25, 21), ("cat", 6, 7, 26, 22)])
def test_a_suspect_that_was_corrected_is_not_another_label(tmp_path, changed):
    mine_folder(folder_of(["a.jpg"], objects={"a.jpg": SHARED}), tmp_path / "mined", SURE)
    dataset = folder_of(["a.jpg"], objects={"a.jpg": [changed, *SHARED[1:]]})
    with pytest.raises(DataError, match=r"suspects.parquet: image id 1 has no label of class 'cat' with the box"):
        treat_suspects(tmp_path / "mined", dataset, "drop")


def test_duplicates_are_no_suspects_to_treat(tmp_path):
    dataset = folder_of(["a.jpg"], changes={"a.jpg": {"duplicate_of": np.array([0])}})
    mine_folder(dataset, tmp_path / "mined", [("a.jpg", "cat", 5, 6, 25, 21, 0.95)])
    assert pl.read_parquet(tmp_path / "mined/suspects.parquet")["kind"].to_list() == ["duplicate"]
    assert not treat_suspects(tmp_path / "mined", dataset, "drop").records[0].is_crowd.any()


def missed_of(dataset):
    """What is marked on each image, None where nothing is."""
    return [None if record.missed is None else record.missed.tolist() for record in dataset.records]


def test_what_was_missed_is_marked_and_what_was_found_is_not(tmp_path):
    found = [("a.jpg", "cat", 5, 6, 25, 21, 0.95)]
    mined = folder_of(["a.jpg", "b.jpg", "c.jpg"], objects={"a.jpg": SHARED, "b.jpg": SHARED[1:], "c.jpg": []})
    mine_folder(mined, tmp_path / "mined", found)
    assert missed_of(mark_missed(tmp_path / "mined", mined)) == [
        [label != SHARED[0] for label in SHARED],
        [True] * (len(SHARED) - 1),
        None,
    ]


def test_marks_are_found_again_whatever_images_are_gone_and_in_whatever_order_labels_are(tmp_path):
    objects = {"a.jpg": SHARED, "b.jpg": SHARED[1:]}
    mined = folder_of(["0.jpg", "a.jpg", "b.jpg"], objects=objects)
    mine_folder(mined, tmp_path / "mined", [("a.jpg", "cat", 5, 6, 25, 21, 0.95)])
    moved = folder_of(["a.jpg", "b.jpg"], objects={**objects, "a.jpg": [*SHARED[1:], SHARED[0]]})
    others = [True] * (len(SHARED) - 1)
    assert missed_of(mark_missed(tmp_path / "mined", moved)) == [[*others, False], others]


def test_an_object_that_is_no_more_cannot_be_marked(tmp_path):
    mine_folder(folder_of(["a.jpg"], objects={"a.jpg": SHARED}), tmp_path / "mined", SURE[:1])
    dataset = folder_of(["a.jpg"], objects={"a.jpg": SHARED[:1]})
    with pytest.raises(DataError, match=r"objects.parquet: image id 1 has no label .* mine again"):
        mark_missed(tmp_path / "mined", dataset)


def test_a_mark_and_a_doubt_on_one_label_stand_beside_each_other(dataset, mined):
    """A dropped label is a crowd, whose mark nobody reads."""
    rows = [
        {"image_id": r.image_id, "object": 100 * r.image_id + place, "kind": "hard positive", **sides("", box)}
        for r in dataset.records
        for place, box in enumerate(r.boxes)
    ]
    pl.DataFrame(rows).write_parquet(mined / "objects.parquet")
    first = treat_suspects(mined, mark_missed(mined, dataset), "drop").records[0]
    assert first.missed.tolist() == [True] * (len(first.labels) - 1) + [False]
    assert first.is_crowd.tolist() == [True] + [False] * (len(first.labels) - 2) + [True]


def marked_folder(dataset, folder):
    mine_of = mine(
        dataset, [{"image_id": dataset.records[0].image_id, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.1}]
    )
    write_mined(folder, mine_of, "results.json")
    return str(folder)


def test_a_training_gives_missed_objects_more_positives(dataset, small, tmp_path):
    folder = marked_folder(dataset, tmp_path / "mined")
    plain = train(small(mined=folder), tmp_path / "plain", progress=False)
    again = train(small(mined=folder, reassign=0), tmp_path / "again", progress=False)
    reassigned = train(small(mined=folder, reassign=3), tmp_path / "reassigned", progress=False)
    assert plain.rows[-1]["loss"] == again.rows[-1]["loss"] != reassigned.rows[-1]["loss"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reassign": 3}, "no mined folder to say what was missed"),
        ({"reassign": 3, "mined": "m", "detector": "ultralytics:yolo11n"}, "whose framework assigns by itself"),
        ({"reassign": -1, "mined": "m"}, "from 0 to 1000"),
    ],
)
def test_what_cannot_be_reassigned_is_refused(small, options, message):
    with pytest.raises(ConfigError, match=message):
        small(**options)


def test_a_detector_that_goes_by_points_is_refused_before_anything_is_written(dataset, small, tmp_path):
    folder = marked_folder(dataset, tmp_path / "mined")
    with pytest.raises(ConfigError, match="FCOSPoints"):
        train(small(mined=folder, reassign=3, detector="fcos"), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("use", [image_weights, mark_missed, lambda *given: treat_suspects(*given, "drop")])
def test_what_was_mined_from_masks_is_refused(dataset, tmp_path, use):
    ids = [record.image_id for record in dataset.records]
    table(tmp_path, ids, [1.0] * len(ids))
    pl.DataFrame({"image_id": ids}).write_parquet(tmp_path / "regions.parquet")
    with pytest.raises(DataError, match="was mined from masks, and boxes are learnt"):
        use(tmp_path, dataset)
