import time

import pytest

from hardmine.data.yolo_config import names_in_folders, read_darknet, read_yaml, read_yolo_yaml
from hardmine.errors import DataError


def written(tmp_path, text, name="data.yaml", encoding="utf-8"):
    file = tmp_path / name
    file.write_text(text, encoding=encoding)
    return file


def test_names_come_out_as_they_are_written(tmp_path):
    texts = [
        "no",
        "yes",
        "on",
        "off",
        "y",
        "n",
        "null",
        "~",
        "1.0",
        "1e3",
        "0x10",
        "007",
        "2024-01-01",
        "12:30:45",
        "Ωμ",
    ]
    file = written(tmp_path, f"names: [{', '.join(texts)}, 'with space ']\ntrain: images\n")
    assert read_yolo_yaml(file).names == dict(enumerate([*texts, "with space "]))


@pytest.mark.parametrize("names", ["{0: cat, 1: dog}", "{'0': cat, '1': dog}", "{1: dog, 0: cat}", "[cat, dog]"])
def test_names_as_a_list_or_a_mapping(tmp_path, names):
    assert read_yolo_yaml(written(tmp_path, f"names: {names}\nnc: 2")).names == {0: "cat", 1: "dog"}


def test_equal_names_are_told_apart_and_reported(tmp_path):
    config = read_yolo_yaml(written(tmp_path, "names: [cat, dog, cat, cat]"))
    assert config.names == {0: "cat", 1: "dog", 2: "cat (id 2)", 3: "cat (id 3)"}
    assert config.warnings[0] == "class 2: the name 'cat' is used twice; give each class its own"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_encoding_that_says_itself_is_read(tmp_path, encoding):
    assert read_yolo_yaml(written(tmp_path, "names: [Käfer]", encoding=encoding)).names == {0: "Käfer"}


def test_places_by_split_with_what_is_empty_left_out(tmp_path):
    config = read_yolo_yaml(written(tmp_path, "names: [a]\ntrain: [one, two]\nvalid: three\ntest: ~\nval:\npath: null"))
    assert (config.places, config.path) == ({"train": ["one", "two"], "val": ["three"]}, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [a, [b]]", "names is not usable"),
        ("names: {0: a, zero: b}", "names is not usable"),
        ("names: {0: a, 00: b}", "names is not usable"),
        ("names: cat", "names is not usable"),
        ("names: [a]\nnames: [b]", "the key .names. is no text or stands twice"),
        ("names: {0: a, 0: b}", "stands twice"),
        ("names: [a]\nval: one\nvalid: two", "valid and val are one split, but name two places"),
        ("names: [a]\ntrain: {a: b}", "train is .*, expected a path"),
        ("names: [a]\nkpt_shape: 17", "kpt_shape is .*, expected how many keypoints, and 2 or 3 numbers each"),
        ("names: [a]\nkpt_shape: [17, 4]", "kpt_shape is"),
        ("names: !new [a]", "tag '!new' is refused"),
        ("? [a]\n: b", "is no text"),
        ("a: &a [*a]", "is not readable YAML"),
        ("[" * 5000, "is not readable YAML"),
        ("<<: text", "is not readable YAML"),
        ("", "is not a YOLO data file"),
        ("a: b\x00", "is not readable YAML"),
    ],
)
def test_what_cannot_be_used_is_one_clear_error(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_yolo_yaml(written(tmp_path, text))


@pytest.mark.parametrize("form", ["lists", "merged mappings"])
def test_what_anchors_stand_for_is_written_out_up_to_a_bound(tmp_path, form):
    start, again = ("&x0 [a, a]", "[*{0}, *{0}]") if form == "lists" else ("&x0 {a: b}", "{{<<: [*{0}, *{0}]}}")
    lines = [f"k0: {start}", *(f"k{n}: &x{n} {again.format(f'x{n - 1}')}" for n in range(1, 9))]
    file = written(tmp_path, "\n".join(lines))
    assert len(read_yaml(file)) == 9
    with pytest.raises(DataError, match="its anchors make it grow too long when written out"):
        read_yaml(file, longest=1000)


def test_growing_without_end_takes_no_time(tmp_path):
    lines = ["k0: &x0 [a, a]", *(f"k{n}: &x{n} [*x{n - 1}, *x{n - 1}]" for n in range(1, 60))]
    started = time.process_time()
    with pytest.raises(DataError, match="grow"):
        read_yaml(written(tmp_path, "\n".join(lines)))
    assert time.process_time() - started < 20  # written out it would be 2 to the power of 60


def test_keys_of_a_merged_mapping_yield_to_its_own(tmp_path):
    file = written(tmp_path, "base: &b {train: one, names: [a]}\n<<: *b\nnames: [z]\n")
    assert read_yolo_yaml(file).places == {"train": ["one"]}
    assert read_yolo_yaml(file).names == {0: "z"}


def test_number_of_keypoints(tmp_path):
    assert read_yolo_yaml(written(tmp_path, "names: [a]\nkpt_shape: [17, 3]")).keypoints == (17, 3)


def test_darknet_data_names_its_lists_and_a_file_of_names(tmp_path):
    (tmp_path / "obj.names").write_text("﻿cat\nblue dog\n")
    text = "classes = 2\n# a comment\ntrain=data/train.txt\nvalid  = data/valid.txt\nnames = data/obj.names\n"
    config = read_darknet(written(tmp_path, text, "obj.data"))
    assert config.places == {"train": ["data/train.txt"], "val": ["data/valid.txt"]}
    assert config.names == {0: "cat", 1: "blue dog"}
    (tmp_path / "obj.names").unlink()
    with pytest.raises(DataError, match=r"names are missing, expected in .*obj.names"):
        read_darknet(tmp_path / "obj.data")
    with pytest.raises(DataError, match="names no split"):
        read_darknet(written(tmp_path, "classes = 2", "obj.data"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "﻿cat\nblue dog\n\n"),
        ("obj.names", "cat\r\nblue dog\r\n"),
        ("_darknet.labels", "cat\nblue dog"),
        ("notes.json", '{"categories": [{"id": 1, "name": "blue dog"}, {"id": 0, "name": "cat"}]}'),
    ],
)
def test_names_in_a_file_of_their_own(tmp_path, name, text):
    written(tmp_path, text, name)
    names, warnings = names_in_folders([tmp_path / "none", tmp_path])
    assert (names, warnings) == ({0: "cat", 1: "blue dog"}, [])


def test_names_that_are_not_sure_are_refused(tmp_path):
    assert names_in_folders([tmp_path]) is None
    written(tmp_path, '["no notes"]', "notes.json")
    assert names_in_folders([tmp_path]) is None
    written(tmp_path, "cat\n\ndog\n", "classes.txt")
    with pytest.raises(DataError, match="line 2 is empty"):
        names_in_folders([tmp_path])
    written(tmp_path, "cat\ndog\n", "classes.txt")
    (tmp_path / "labels").mkdir()
    written(tmp_path / "labels", "dog\ncat\n", "classes.txt")
    with pytest.raises(DataError, match="do not name the same classes"):
        names_in_folders([tmp_path, tmp_path / "labels"])
