"""A recipe in ultralytics' own training: one line more than without it."""

import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import hardmine as hm
from hardmine.data import export, open_scenes

if find_spec("ultralytics") is None:
    print("skipped: pip install 'hardmine[ultralytics]'")
    sys.exit()

from ultralytics import YOLO

with TemporaryDirectory() as folder:
    scenes = {"train": open_scenes("train", num_images=16), "val": open_scenes("val", num_images=8)}
    data = export(scenes, "yolo", Path(folder) / "scenes")  # yours is a data.yaml already

    model = YOLO("yolo11n.yaml")  # or a .pt
    hm.attach(model, hm.recipes.hnm())
    quick = {"epochs": 2, "imgsz": 128, "batch": 8, "workers": 0, "plots": False, "verbose": False}
    model.train(data=str(data), device="cpu", project=folder, name="run", exist_ok=True, **quick)

    weights = Path(folder) / "run/weights"  # what they write opens where hardmine is not installed
    print(sorted(file.name for file in weights.iterdir()))
    print(YOLO(weights / "last.pt").names)
