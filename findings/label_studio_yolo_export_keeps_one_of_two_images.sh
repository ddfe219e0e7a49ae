#!/usr/bin/env bash
# Label Studio's YOLO and VOC exports keep one of two images that have the same file name in different folders.
#
# Its converter names a label file after the last part of the image's address. Tasks on local storage, whose images are
# images/train/1.png and images/val/1.png, both become labels/1.txt (Annotations/1.xml): the second replaces the first,
# no error, no warning. The name also stays percent-quoted, so c+d.png has its labels in c%2Bd.txt, where a YOLO reader
# does not look. The COCO export of the same tasks is whole. JSON or COCO are safe ways back from Label Studio.
#
# Seen with label-studio-sdk 2.1.2 on Python 3.11:
#   label-studio-sdk 2.1.2, 3 tasks
#   YOLO: ['1.txt', 'c%2Bd.txt']; 1.txt has the box of images/val/1.png
#   VOC: ['1.xml', 'c%2Bd.xml']
#   COCO: 3 images, 3 annotations
#   as described: YOLO and VOC hold 2 of the 3 images
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "label-studio-sdk==2.1.2"
cd "$folder"
venv/bin/python - <<'PYTHON'
import json
import sys
from importlib.metadata import version
from pathlib import Path

from label_studio_sdk.converter import Converter

CONFIG = """<View><Image name="image" value="$image"/>
<RectangleLabels name="label" toName="image"><Label value="cat"/></RectangleLabels></View>"""
LEFT = {"images/train/1.png": 0, "images/val/1.png": 50, "images/train/c%2Bd.png": 70}  # percent of the width


def task(number, path):
    box = {"x": LEFT[path], "y": 10, "width": 20, "height": 20, "rotation": 0, "rectanglelabels": ["cat"]}
    region = {"id": "box", "type": "rectanglelabels", "from_name": "label", "to_name": "image", "value": box}
    size = {"original_width": 100, "original_height": 100}
    image = {"image": f"/data/local-files/?d={path}"}
    return {"id": number, "data": image, "annotations": [{"id": number, "result": [region | size]}]}


Path("tasks.json").write_text(json.dumps([task(number, path) for number, path in enumerate(LEFT)]))
print(f"label-studio-sdk {version('label-studio-sdk')}, {len(LEFT)} tasks")
for form in ("coco", "yolo", "voc"):
    converter = Converter(CONFIG, project_dir=None, download_resources=False)
    getattr(converter, f"convert_to_{form}")("tasks.json", form, is_dir=False)
yolo, voc = ([file.name for file in sorted(Path(place).iterdir())] for place in ("yolo/labels", "voc/Annotations"))
centre = float(Path("yolo/labels/1.txt").read_text().split()[1])
coco = json.loads(Path("coco/result.json").read_text())
owner = "images/val/1.png" if abs(centre - 0.6) < 0.01 else "another image"
print(f"YOLO: {yolo}; 1.txt has the box of {owner}")
print(f"VOC: {voc}")
print(f"COCO: {len(coco['images'])} images, {len(coco['annotations'])} annotations")
same = (yolo, voc, owner) == (["1.txt", "c%2Bd.txt"], ["1.xml", "c%2Bd.xml"], "images/val/1.png")
if not same or len(coco["images"]) != len(LEFT):
    sys.exit("changed: it is no longer as described above")
print(f"as described: YOLO and VOC hold {len(yolo)} of the {len(LEFT)} images")
PYTHON
