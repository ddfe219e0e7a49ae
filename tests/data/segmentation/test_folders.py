import json

import numpy as np
import pytest

from hardmine.data import open_segmentation
from hardmine.data.segmentation.folders import VOC_CLASSES
from hardmine.errors import DataError


def opened(root, split=None, **options):
    dataset = open_segmentation(root, split, **options)
    return dataset, [record.file.relative_to(root).as_posix() for record in dataset.records]


@pytest.mark.parametrize(("images", "masks"), [("images", "masks"), ("imgs", "labels"), ("Images", "Annotations")])
def test_images_and_masks_are_paired_by_name(write_folders, write_pair, tmp_path, images, masks):
    write_folders(tmp_path, "a", "b/c", images=images, masks=masks)
    dataset, files = opened(tmp_path)
    assert files == [f"{images}/a.png", f"{images}/b/c.png"]
    assert dataset.split == "all"
    assert dataset.classes == ("road", "sky")
    assert not dataset.problems
    assert set(np.unique(dataset.mask(0))) == {0, 1, 255}


def test_the_folder_of_the_masks_names_the_data_set_too(write_folders, tmp_path):
    write_folders(tmp_path, "a")
    assert opened(tmp_path)[1] == ["images/a.png"]
    assert len(open_segmentation(tmp_path / "masks")) == 1


def test_a_data_set_may_itself_be_called_as_a_folder_of_masks(write_folders, tmp_path):
    write_folders(tmp_path / "labels", "a")
    assert opened(tmp_path / "labels")[1] == ["images/a.png"]


@pytest.mark.parametrize("ending", ["_mask", "_L", "_seg"])
def test_a_mask_may_have_a_word_behind_its_name(write_folders, write_pair, tmp_path, ending):
    write_folders(tmp_path)
    write_pair(tmp_path / "images" / "a.jpg", tmp_path / "masks" / f"a{ending}.png")
    assert opened(tmp_path)[1] == ["images/a.jpg"]
    assert len(open_segmentation(tmp_path / "masks")) == 1


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train", "val"), ("train", "val")),
        (("training", "validation"), ("train", "val")),
        (("train2017",), ("train",)),
    ],
)
def test_folders_in_both_are_splits(write_folders, tmp_path, folders, splits):
    write_folders(tmp_path, *(f"{folder}/{name}" for folder in folders for name in ("a", "b")))
    for folder, split in zip(folders, splits, strict=True):
        assert opened(tmp_path, split)[1] == [f"images/{folder}/a.png", f"images/{folder}/b.png"]


def test_images_of_a_split_without_masks_are_no_split(write_folders, write_image, tmp_path):
    write_folders(tmp_path, "train/a", "val/a")
    write_image(tmp_path / "images" / "test" / "a.png")
    with pytest.raises(DataError, match="there is no split 'test'; choose one of train, val"):
        open_segmentation(tmp_path, "test")


def test_folders_of_splits_with_images_and_masks_in_each(write_pair, tmp_path):
    for split in ("train", "valid"):
        write_pair(tmp_path / split / "images" / "a.png", tmp_path / split / "masks" / "a.png")
    (tmp_path / "classes.txt").write_text("road\nsky")
    assert opened(tmp_path, "val")[1] == ["valid/images/a.png"]
    assert opened(tmp_path, "train")[1] == ["train/images/a.png"]


def test_masks_beside_images_as_roboflow_writes_them(write_pair, tmp_path):
    for split in ("train", "valid"):
        write_pair(tmp_path / split / "a.jpg", tmp_path / split / "a_mask.png")
        (tmp_path / split / "_classes.csv").write_text("Pixel Value, Class\n0, road\n1, sky\n")
    dataset, files = opened(tmp_path, "val")
    assert (files, dataset.classes) == (["valid/a.jpg"], ("road", "sky"))


@pytest.mark.parametrize("place", ["", "splits", "ImageSets", "ImageSets/Segmentation"])
@pytest.mark.parametrize("line", ["b", "b.png", "images/b.png", "/elsewhere/data/b.png /elsewhere/masks/b.png"])
def test_lists_of_names_are_splits(write_folders, tmp_path, place, line):
    write_folders(tmp_path, "a", "b", "c")
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    (tmp_path / place / "train.txt").write_text("a\nc\n")
    (tmp_path / place / "val.txt").write_text(f"{line}\n\n")
    assert opened(tmp_path, "val")[1] == ["images/b.png"]
    assert opened(tmp_path, "train")[1] == ["images/a.png", "images/c.png"]


def test_names_that_are_not_there_are_reported(write_folders, tmp_path):
    write_folders(tmp_path, "a")
    (tmp_path / "train.txt").write_text("a\nb\n")
    dataset = open_segmentation(tmp_path, "train")
    assert len(dataset) == 1
    assert "there is no image of this name" in dataset.problems[0].message


def test_coco_files_beside_masks_say_the_splits(write_folders, tmp_path):
    write_folders(tmp_path, "a", "b")
    (tmp_path / "classes.txt").unlink()
    for split, name in (("train", "a"), ("val", "b")):
        document = {
            "images": [{"id": 1, "file_name": f"{name}.png", "width": 64, "height": 48}],
            "annotations": [],
            "categories": [{"id": 1, "name": "nucleus"}],
        }
        (tmp_path / f"coco_{split}.json").write_text(json.dumps(document))
    dataset, files = opened(tmp_path, "val", instances=True)
    assert files == ["images/b.png"]
    assert dataset.classes == ("background", "nucleus")
    assert set(np.unique(dataset.mask(0))) == {0, 1}  # 255 numbers an object there


def test_pascal_voc(write_pair, tmp_path):
    for name in ("a", "b"):
        write_pair(tmp_path / "JPEGImages" / f"{name}.jpg", tmp_path / "SegmentationClass" / f"{name}.png", mode="P")
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("b\n")
    (lists / "val.txt").write_text("a\n")
    dataset, files = opened(tmp_path, "train")
    assert (files, dataset.classes) == (["JPEGImages/b.jpg"], VOC_CLASSES)
    assert len(VOC_CLASSES) == 21
    assert set(np.unique(dataset.mask(0))) == {0, 1, 255}
    assert len(open_segmentation(tmp_path.parent / tmp_path.name, "val")) == 1


def test_pascal_voc_in_colours_as_cvat_writes_it(write_mask, write_image, tmp_path):
    write_image(tmp_path / "JPEGImages" / "a.jpg", (3, 1))
    colours = np.array([[[0, 0, 0], [250, 50, 83], [0, 0, 0]]])
    write_mask(tmp_path / "SegmentationClass" / "a.png", colours)
    with pytest.raises(DataError, match=r"in colours, such as \(0, 0, 0\), \(250, 50, 83\)"):
        open_segmentation(tmp_path)
    (tmp_path / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:250,50,83::\n")
    dataset = open_segmentation(tmp_path)
    assert dataset.classes == ("background", "cat")
    assert dataset.mask(0).tolist() == [[0, 1, 0]]


def test_coco_stuff_counts_its_labels_less_one(write_pair, tmp_path):
    """labels.txt says 1: person, 2: bicycle; pixels have 0 and 1, and 255 where that says 0: unlabeled."""
    write_pair(tmp_path / "train2017" / "a.jpg", tmp_path / "stuffthingmaps" / "train2017" / "a.png")
    write_pair(tmp_path / "val2017" / "b.jpg", tmp_path / "stuffthingmaps" / "val2017" / "b.png")
    (tmp_path / "labels.txt").write_text("0: unlabeled\n1: person\n2: bicycle\n")
    dataset, files = opened(tmp_path, "val")
    assert (files, dataset.classes) == (["val2017/b.jpg"], ("person", "bicycle"))
    assert set(np.unique(dataset.mask(0))) == {0, 1, 255}


def test_what_has_no_partner_is_left_out_and_reported(write_folders, write_image, write_mask, tmp_path):
    write_folders(tmp_path, "a")
    write_image(tmp_path / "images" / "b.png")
    write_mask(tmp_path / "masks" / "c.png", np.zeros((48, 64)))
    dataset = open_segmentation(tmp_path)
    assert len(dataset) == 1
    no_mask, no_image = dataset.problems
    assert no_mask.file == tmp_path / "images" / "b.png"
    assert "has no mask, expected" in no_mask.message
    assert no_image.file == tmp_path / "masks" / "c.png"
    assert "has no image" in no_image.message


def test_classes_have_to_be_said(write_folders, tmp_path):
    write_folders(tmp_path, "a")
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(DataError, match=r"nothing says what the values .* --classes.*classes\.txt"):
        open_segmentation(tmp_path)
    assert open_segmentation(tmp_path, classes=("road", "sky")).classes == ("road", "sky")
    assert open_segmentation(tmp_path, classes="road, sky").classes == ("road", "sky")
    assert open_segmentation(tmp_path, classes={1: "sky", 0: "road"}).classes == ("sky", "road")
    other = tmp_path / "names.txt"
    other.write_text("road\nsky\n")
    assert open_segmentation(tmp_path, classes=other).classes == open_segmentation(tmp_path, classes=str(other)).classes


def test_several_data_sets_side_by_side_are_refused(write_pair, tmp_path):
    for folder in ("one", "other"):
        write_pair(tmp_path / folder / "images" / "a.png", tmp_path / folder / "masks" / "a.png")
    with pytest.raises(DataError, match="several data sets with masks: one, other; give the path of one"):
        open_segmentation(tmp_path)


def test_a_data_set_one_level_down_is_found(write_folders, tmp_path):
    write_folders(tmp_path / "inner", "a")
    assert len(open_segmentation(tmp_path)) == 1


def test_images_may_lie_elsewhere(write_folders, tmp_path):
    write_folders(tmp_path / "masks_only", "a")
    (tmp_path / "masks_only" / "images").rename(tmp_path / "pictures")
    dataset = open_segmentation(tmp_path / "masks_only", images=tmp_path / "pictures")
    assert dataset.records[0].file == tmp_path / "pictures" / "a.png"


def test_the_shared_nuclei_are_a_problem_of_two_classes(shared):
    dataset = open_segmentation(shared / "nuclei", "val", instances=True)
    assert (len(dataset), dataset.classes, dataset.problems) == (159, ("background", "nucleus"), ())
    with pytest.raises(DataError, match="masks number objects"):
        open_segmentation(shared / "nuclei", "val", classes="background,nucleus").mask(5)


def test_names_in_another_order_than_the_file_of_classes_are_told(write_folders, tmp_path, caplog):
    write_folders(tmp_path, "a")
    assert opened(tmp_path, classes=["road", "sky"])[0].classes == ("road", "sky")
    assert not caplog.messages
    assert opened(tmp_path, classes=["sky", "road"])[0].classes == ("sky", "road")
    (message,) = caplog.messages
    assert "has the classes in the order road, sky; taken is sky, road, as asked" in message
