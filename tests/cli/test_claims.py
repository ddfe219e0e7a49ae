import json

from hardmine.cli.claims import claims_table
from tests.cli.test_app import one_line


def test_claims_are_trained_measured_and_written(hardmine, few_scenes, tmp_path, caplog):
    out = tmp_path / "out"
    command = ("claims", "suppression-helps-ohem", "000-05", "--scale", "smoke", "--jobs", "1", "--out", str(out))
    done = hardmine(*command)
    assert done.code == 0
    last = done.out.strip().splitlines()[-1]
    assert last == f"Results: claims.json, claims.md and runs in {out}"
    assert "claim 1 of 2, suppression-helps-ohem; trainings left: 3" in caplog.messages
    written = {of["slug"]: of["verdict"] for of in json.loads((out / "claims.json").read_text())["claims"]}
    assert written == dict.fromkeys(("suppression-helps-ohem", "high-iou-negatives-are-hard"), "one seed: no verdict")
    refused = hardmine(*command)
    assert refused.code == 2
    assert "--resume" in one_line(refused.err)
    caplog.clear()
    assert hardmine(*command, "--resume").code == 0
    assert not any(message.startswith("run 1 of") for message in caplog.messages), "nothing is trained again"


def test_a_dry_run_prints_commands(hardmine, tmp_path):
    done = hardmine("claims", "divide-by-positives", "--scale", "full", "--dry-run", "--out", str(tmp_path / "out"))
    assert done.code == 0
    *commands, last = done.out.strip().splitlines()
    assert len(commands) == 6
    assert all(line.startswith("hardmine train --data COCO") for line in commands)
    assert last == "6 trainings for 1 claims; nothing was trained"
    assert not (tmp_path / "out").exists()


def test_an_unknown_claim_or_scale_is_named(hardmine):
    assert "ohem-improves" in hardmine("claims", "ohem-improve", "--dry-run").err
    assert "unknown scale" in one_line(hardmine("claims", "--scale", "tiny", "--dry-run").err)
    assert "--data" in one_line(hardmine("claims", "ohem-improves", "--scale", "full").err)


def test_without_claims_the_table_is_empty():
    assert claims_table([]).rows == []
