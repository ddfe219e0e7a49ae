#!/usr/bin/env bash
# ultralytics' validation numbers the classes of one and the same prediction twice: from 0 in text files, from 1 in JSON.
#
# val(save_txt=True, save_json=True) writes labels/IMAGE.txt, whose classes are those of data.yaml, and predictions.json,
# whose category_id is one more (for COCO itself, its 91 ids). So predictions.json does not fit the labels from which it
# was made: who joins them by number takes each class for its neighbour, and with the last class unseen no id is even
# out of range. Subtract 1, or use the text files.
#
# Seen with ultralytics 8.4.190 on Python 3.11 (two classes, one box in one picture, random weights):
#   ultralytics 8.4.190
#   data.yaml: {0: 'cat', 1: 'dog'}
#   texts: 20 predictions; predictions.json: 20 predictions
#   as described: each category_id is the class of the text plus 1
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "ultralytics==8.4.190"
cd "$folder"
export YOLO_CONFIG_DIR="$folder" YOLO_OFFLINE=true YOLO_VERBOSE=false
venv/bin/python - <<'PYTHON'
import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from ultralytics import YOLO
from ultralytics.nn.tasks import yaml_model_load

NAMES = {0: "cat", 1: "dog"}
torch.manual_seed(0)
for name in ("images", "labels"):
    Path("data", name).mkdir(parents=True)
Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save("data/images/a.png")
Path("data/labels/a.txt").write_text("0 .5 .5 .5 .5\n")
data = {"path": str(Path("data").resolve()), "train": "images", "val": "images", "names": NAMES}
Path("data.yaml").write_text(json.dumps(data))  # JSON is YAML
Path("yolov8n.yaml").write_text(json.dumps(yaml_model_load("yolov8n.yaml") | {"nc": len(NAMES)}))
YOLO("yolov8n.yaml", task="detect").val(
    data="data.yaml", project=str(Path("runs").resolve()), name="val", imgsz=64, conf=1e-6, max_det=20, device="cpu",
    save_txt=True, save_conf=True, save_json=True, plots=False, workers=0, verbose=False,
)  # fmt: skip
texts = [line.split() for line in Path("runs/val/labels/a.txt").read_text().splitlines()]
records = json.loads(Path("runs/val/predictions.json").read_text())
print(f"ultralytics {version('ultralytics')}")
print(f"data.yaml: {NAMES}")
print(f"texts: {len(texts)} predictions; predictions.json: {len(records)} predictions")
in_texts = sorted((round(float(fields[5]), 4), int(fields[0]) + 1) for fields in texts)
in_json = sorted((round(record["score"], 4), record["category_id"]) for record in records)
if not texts or [number for _, number in in_texts] != [number for _, number in in_json]:
    sys.exit("changed: it is no longer as described above")
print("as described: each category_id is the class of the text plus 1")
PYTHON
