import json
import re
import subprocess
import sys

import pytest
from PIL import Image

SMALL = ("--epochs", "1", "--batch-size", "4", "--image-size", "64")


def one_line(text: str) -> str:
    """The only line of an error, which a terminal may wrap but we do not."""
    assert text.endswith("\n")
    assert text.count("\n") == 1, text
    return text.strip()


def test_train_evaluate_and_predict_form_a_chain(hardmine, few_scenes, tmp_path):
    run = str(tmp_path / "run")
    trained = hardmine("train", "--out", run, "--recipe", "hnm", *SMALL)
    assert trained.code == 0
    assert "AP of three" in trained.out
    assert trained.out.splitlines()[-1] == (
        f"Run: weights.safetensors, metrics.jsonl, predictions_val.json and more in {run}"
    )
    measured = hardmine("evaluate", run)
    assert measured.out.splitlines()[:8] == trained.out.splitlines()[:8]
    assert measured.out.splitlines()[-1] == f"Predictions: {run}/predictions_val.json"
    drawn = hardmine("plot", run, "--out", str(tmp_path / "curves.html"))
    assert (drawn.code, drawn.out, drawn.err) == (0, f"Figure: {tmp_path / 'curves.html'}\n", "")
    assert "Learning rate" in (tmp_path / "curves.html").read_text()
    predict = ("predict", run, "--data", "scenes", "--split", "val", "--out", str(tmp_path / "predictions.json"))
    assert hardmine(*predict).code == 0
    assert isinstance(json.loads((tmp_path / "predictions.json").read_text()), list)
    again = hardmine(*predict)
    assert again.code == 2
    assert "exists already" in one_line(again.err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "--recipes", "random,ohme"], "unknown recipe 'ohme'; did you mean ohem"),
        (["compare", "--recipes", "random", "--seeds", "0"], "--seeds"),
        (["train", "--out", "{new}", "--recipe", "ohem:budget=x"], "option budget: expected int | None, got 'x'"),
        (
            ["train", "--out", "{new}", "--detector", "retinanett"],
            "unknown detector 'retinanett'; did you mean retinanet",
        ),
        (["train", "--out", "{new}", "--backbone", "mobilenetv2"], "did you mean mobilenet_v2"),
        (["train", "--out", "{new}", "--data", "{empty}"], "{empty}"),
        (["train", "--out", "{new}", "--data", "{missing}"], "{missing}"),
        (["train", "--out", "{new}", "--epochs", "0"], "epochs must be from 1"),
        (["train", "--out", "{new}", "--epochs", "two"], "Invalid value for '--epochs'"),
        (["train", "--out", "{full}"], "{full} exists already"),
        (["train"], "Missing option '--out'"),
        (["train", "--out", "{new}", "--epcohs", "3"], "No such option"),
        (["evaluate", "{missing}"], "{missing} is not a run folder"),
        (["predict", "{missing}", "--out", "{new}"], "{missing} is not a run folder"),
        (["explain", "ohme"], "did you mean ohem"),
        (["check", "{missing}"], "{missing}"),
        (["chekc", "scenes"], "No such command"),
        (["plot", "{missing}", "--out", "{new}.png"], "{missing} holds no run with a finished epoch"),
        (["plot", "{full}", "--out", "{new}.pdf"], "ends in .png, .svg, .html"),
        (["plot"], "Missing argument"),
        (["check", "scenes", "--task", "segmentatoin"], "unknown task 'segmentatoin'; did you mean segmentation"),
        (["check", "scenes", "--instances"], "add --task segmentation"),
        (["check", "{empty}", "--task", "segmentation"], "{empty} holds no masks in a known layout"),
    ],
)
def test_wrong_input_is_one_clear_line_and_code_2_and_nothing_is_written(hardmine, tmp_path, arguments, message):
    places = {name: str(tmp_path / name) for name in ("new", "empty", "missing", "full")}
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    done = hardmine(*(argument.format(**places) for argument in arguments))
    assert (done.code, done.out) == (2, "")
    assert message.format(**places) in one_line(done.err)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "full", "notes.txt"]


def test_recipes_and_explain_tell_what_a_recipe_is(hardmine):
    listed = hardmine("recipes")
    assert all(name in listed.out for name in ("random", "ce", "balanced_ce", "focal", "hnm", "ohem", "ohem_mmdet"))
    assert max(map(len, listed.out.splitlines())) <= 80
    explained = hardmine("explain", "ohem:budget=32")
    assert explained.code == 0
    for expected in (
        "CVPR 2016",
        "arXiv:1604.03540",
        "budget=32",
        "Published",
        "Worth tuning",
        "Differs",
        "fasterrcnn",
        "roi",
        "OHEM",
        "w_i",
    ):
        assert expected in explained.out, expected


def test_check_reports_what_was_found(hardmine):
    done = hardmine("check", "scenes")
    assert done.code == 0
    assert all(expected in done.out for expected in ("train: ", "val: ", "three", "usable", "0 errors"))


def test_check_names_every_bad_record_and_fails_when_nothing_is_usable(hardmine, tmp_path):
    image = {"id": 1, "file_name": "gone.png", "width": 10, "height": 10}
    empty = {"images": [image], "annotations": [], "categories": [{"id": 1, "name": "a"}]}
    (tmp_path / "train.json").write_text(json.dumps(empty))
    done = hardmine("check", str(tmp_path))
    assert done.code == 2
    assert "gone.png" in done.out
    assert "not usable" in done.out


def test_check_of_masks_counts_pixels_by_class(hardmine):
    done = hardmine("check", "scenes", "--task", "segmentation", "--split", "val")
    assert done.code == 0
    assert "val: 120 images of 128x128 (120), 0.00% of pixels ignored" in done.out
    assert all(expected in done.out for expected in ("background", "three", "pixels", "0 errors, 0 warnings; usable"))


def test_check_of_masks_names_every_bad_record(hardmine, tmp_path):
    for folder, size in (("images", (8, 8)), ("masks", (4, 4))):
        (tmp_path / folder).mkdir()
        Image.new("L", size).save(tmp_path / folder / "a.png")
    done = hardmine("check", str(tmp_path), "--task", "segmentation", "--classes", "road,sky")
    assert done.code == 2
    assert "is 4x4, the image 8x8" in " ".join(done.out.split())
    assert "not usable" in done.out


def test_an_interrupt_ends_with_130(hardmine, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("hardmine.comparison.compare.compare", interrupted)
    done = hardmine("compare")
    assert done.code == 130
    assert "Traceback" not in done.err


def run_in_shell(*arguments, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", "import sys; from hardmine.cli import main; sys.exit(main())", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_the_process_exits_with_the_code_and_no_traceback(tmp_path):
    done = run_in_shell("train", "--out", str(tmp_path / "run"), "--recipe", "ohme")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean ohem" in one_line(done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_is_written_in_another_form(hardmine, few_scenes, tmp_path):
    done = hardmine("export", "scenes", "--to", "yolo", "--out", str(tmp_path / "scenes"))
    assert (done.code, done.out, done.err) == (0, f"Written: {tmp_path / 'scenes/data.yaml'}\n", "")
    checked = hardmine("check", str(tmp_path / "scenes"))
    assert checked.code == 0
    assert "0 errors" in checked.out
    done = hardmine("export", "scenes", "--to", "yolo", "--out", str(tmp_path / "scenes"))
    assert (done.code, done.out) == (2, "")
    assert "exists already; choose another folder" in one_line(done.err)


def test_help_is_there_for_every_command_without_a_terminal(hardmine):
    for command in ("compare", "train", "evaluate", "predict", "plot", "recipes", "explain", "check", "export"):
        assert command in hardmine("--help").out
        done = hardmine(command, "--help")
        assert done.code == 0
        assert re.search(r"Usage: .*" + command, done.out)


def test_explain_draws_what_it_explains(hardmine, few_scenes, tmp_path):
    drawn = hardmine("explain", "focal:gamma=1", "--plot", str(tmp_path / "focal.html"))
    assert (drawn.code, drawn.out, drawn.err) == (0, f"Figure: {tmp_path / 'focal.html'}\n", "")
    assert "focal, positives" in (tmp_path / "focal.html").read_text()
    run = str(tmp_path / "run")
    assert hardmine("train", "--out", run, "--detector", "retinanet", *SMALL).code == 0
    drawn = hardmine("explain", "hnm", "--plot", str(tmp_path / "hnm.png"), "--run", run, "--split", "val")
    assert (drawn.code, drawn.err) == (0, "")
    assert (tmp_path / "hnm.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ghm", "--plot", "{folder}/ghm.png"], "add --run FOLDER with a finished run"),
        (["ohem", "--plot", "{folder}/ohem.png", "--run", "{folder}"], "{folder} is not a run folder"),
        (["focal", "--plot", "{folder}/focal.pdf"], "ends in .png, .svg, .html"),
        (["focal", "--plot", "{folder}/none/focal.png"], "there is no folder {folder}/none"),
        (["focal", "--plot", "{folder}/focal.png", "--data", "scenes"], "give a finished run with --run"),
        (["focal", "--run", "{folder}"], "add --plot FILE"),
    ],
)
def test_what_cannot_be_drawn_is_one_clear_line(hardmine, tmp_path, arguments, message):
    done = hardmine("explain", *(argument.format(folder=tmp_path) for argument in arguments))
    assert (done.code, done.out) == (2, "")
    assert message.format(folder=tmp_path) in one_line(done.err)
    assert list(tmp_path.iterdir()) == []
