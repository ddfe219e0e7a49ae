import json
from pathlib import Path

import pytest

from hardmine.data import DetectionDataset, open_scenes
from hardmine.errors import RunError
from hardmine.training import RunFolder, TrainingConfig
from hardmine.training.folder import IMAGES, refuse_other_config


def test_a_new_folder_holds_configuration_and_environment(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "a")
    folder.start(TrainingConfig(seed=3), {"torch": "x"})
    assert folder.read_config() == TrainingConfig(seed=3)
    assert json.loads(folder.env.read_text()) == {"torch": "x"}


def test_an_empty_folder_may_be_used(tmp_path):
    RunFolder(tmp_path).start(TrainingConfig(), {})


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("all of it")
    with pytest.raises(RunError, match="exists already"):
        RunFolder(tmp_path).start(TrainingConfig(), {})
    with pytest.raises(RunError, match="exists already"):
        RunFolder(tmp_path / "thesis.tex").start(TrainingConfig(), {})
    with pytest.raises(RunError, match="not a run folder"):
        RunFolder(tmp_path).start_or_continue(TrainingConfig(), {})
    with pytest.raises(RunError, match="cannot make the run folder"):
        RunFolder(tmp_path / "thesis.tex" / "run").start(TrainingConfig(), {})
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_only_the_same_training_is_continued(tmp_path):
    folder = RunFolder(tmp_path / "a")
    config = TrainingConfig(recipe_options={"scales": [1, 2]}, lr=0.001)
    folder.start_or_continue(config, {"torch": "first"})
    same = TrainingConfig(recipe_options={"scales": (1, 2)}, lr=0.001, workers=2)
    folder.start_or_continue(same, {"torch": "second"})
    assert json.loads(folder.env.read_text()) == {"torch": "first"}
    with pytest.raises(RunError, match=r"seed is 0 there and 1 here, .*|lr is") as error:
        folder.start_or_continue(TrainingConfig(recipe_options={"scales": [1, 2]}, seed=1, lr=0.5), {})
    assert "seed is 0 there and 1 here" in str(error.value)
    assert "lr is 0.001 there and 0.5 here" in str(error.value)
    assert folder.read_config() == config


def test_a_checkpoint_of_another_detector_is_named(tmp_path):
    stored = json.loads(TrainingConfig(detector="retinanet").to_json())
    with pytest.raises(RunError, match="detector is 'retinanet' there and 'fasterrcnn' here"):
        refuse_other_config(stored, TrainingConfig(), tmp_path)


@pytest.mark.parametrize("file", ["config.json", "env.json"])
@pytest.mark.parametrize("is_named", [False, True])
def test_a_start_that_was_stopped_at_any_file_can_be_made_again(tmp_path, monkeypatch, file, is_named):
    """Killed before the file has its name, or after."""
    replace = Path.replace

    def killed(self, target):
        if is_named or target.name != file:
            replace(self, target)
        if target.name == file:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            RunFolder(tmp_path / "run").start(TrainingConfig(), {"torch": "x"})
    folder = RunFolder(tmp_path / "run")
    folder.start_or_continue(TrainingConfig(), {"torch": "x"})
    assert folder.read_config() == TrainingConfig()
    assert json.loads(folder.env.read_text()) == {"torch": "x"}


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"colour": 1}', b'{"epochs": -1}', b"[" * 100_000, b"\xff\xfe\xff", b'{"lr": NaN}']
)
def test_a_damaged_configuration_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(RunError, match="not a run folder"):
        RunFolder(tmp_path).read_config()


def test_rows_are_written_whole(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_rows([{"epoch": 1}])
    folder.write_rows([{"epoch": 1}, {"epoch": 2, "ap": None}])
    assert [json.loads(line) for line in folder.metrics.read_text().splitlines()] == [
        {"epoch": 1},
        {"epoch": 2, "ap": None},
    ]


def test_no_split_leads_out_of_the_folder(tmp_path):
    assert RunFolder(tmp_path).predictions("../../x").parent == tmp_path


def test_options_that_came_since_had_their_defaults(tmp_path):
    stored = json.loads(TrainingConfig().to_json())
    del stored["allow_unlabelled"]
    refuse_other_config(stored, TrainingConfig(), tmp_path)
    with pytest.raises(RunError, match="allow_unlabelled is False there and True here"):
        refuse_other_config(stored, TrainingConfig(allow_unlabelled=True), tmp_path)


def test_a_run_is_continued_on_the_images_that_it_was_begun_with(tmp_path):
    folder, config, scenes = RunFolder(tmp_path / "run"), TrainingConfig(), open_scenes("val", 6)
    some = DetectionDataset("scenes", "val", scenes.classes, scenes.category_ids, scenes.records[:5])
    of_all, of_some = ({IMAGES: {"validation": {"hash": data.hash_of_images()}}} for data in (scenes, some))
    folder.start(config, of_all)
    folder.start_or_continue(config, of_all)
    with pytest.raises(RunError, match="the images of the validation data are not those that the run was begun with"):
        folder.start_or_continue(config, of_some)
    folder.env.write_text("{}")
    folder.start_or_continue(config, of_some)  # it was begun before they were noted
    folder.env.write_text("{")
    with pytest.raises(RunError, match=r"env\.json is damaged"):
        folder.start_or_continue(config, of_some)
