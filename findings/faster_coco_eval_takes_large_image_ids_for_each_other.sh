#!/usr/bin/env bash
# faster-coco-eval gives predictions on the wrong images an average precision when image ids are beyond 2^53.
#
# COCO files may have any whole number for an id, and hashes of 64 bits are in use. Ids from 2^53 on are no longer told
# apart exactly, so a prediction can meet the object of another image: with predictions of each object moved to the
# next image the AP must be 0, as it is for small ids and with pycocotools. No error, no warning. Still larger ids
# (2^62) raise a RuntimeError that says nothing of ids. Numbering the images anew before evaluation helps.
#
# Seen with faster-coco-eval 1.8.0, pycocotools 2.0.11 and numpy 2.4.6 on Python 3.11:
#   faster-coco-eval 1.8.0, pycocotools 2.0.11
#   ids from 1: predictions on the wrong images have AP 0.000 (faster-coco-eval), 0.000 (pycocotools)
#   ids from 2^53: predictions on the wrong images have AP 0.168 (faster-coco-eval), 0.000 (pycocotools)
#   as described: large ids are taken for each other
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "faster-coco-eval==1.8.0" "pycocotools==2.0.11" "numpy<2.5"
cd "$folder"
venv/bin/python - <<'PYTHON'
import contextlib
import io
import sys
from importlib.metadata import version

from faster_coco_eval import COCO, COCOeval_faster
from pycocotools.coco import COCO as PyCOCO
from pycocotools.cocoeval import COCOeval


def truth(first):
    ids = range(first, first + 4)
    return {
        "images": [{"id": own, "width": 64, "height": 48} for own in ids],
        "annotations": [
            {"id": n, "image_id": own, "category_id": 1, "bbox": [9 * n, 5, 8, 8], "area": 64, "iscrowd": 0}
            for n, own in enumerate(ids, start=1)
        ],
        "categories": [{"id": 1, "name": "a"}],
    }


def moved(first):
    """Each object predicted exactly, but on the next image."""
    annotations = truth(first)["annotations"]
    owners = [a["image_id"] for a in annotations]
    return [
        {"image_id": own, "category_id": 1, "bbox": a["bbox"], "score": 0.5}
        for a, own in zip(annotations, owners[1:] + owners[:1])
    ]


def faster(first):
    data = COCO(truth(first))
    evaluator = COCOeval_faster(data, data.loadRes(moved(first)), "bbox")
    evaluator.run()
    return float(evaluator.stats[0])


def reference(first):
    data = PyCOCO()
    data.dataset = truth(first)
    data.createIndex()
    evaluator = COCOeval(data, data.loadRes(moved(first)), "bbox")
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    return float(evaluator.stats[0])


print(f"faster-coco-eval {version('faster-coco-eval')}, pycocotools {version('pycocotools')}")
found = {}
for name, first in (("1", 1), ("2^53", 2**53)):
    with contextlib.redirect_stdout(io.StringIO()):
        found[name] = faster(first), reference(first)
    one, other = found[name]
    print(f"ids from {name}: predictions on the wrong images have AP {one:.3f} (faster-coco-eval), {other:.3f} (pycocotools)")
if found["1"] != (0, 0) or found["2^53"][1] != 0 or found["2^53"][0] <= 0.1:
    sys.exit("changed: it is no longer as described above")
print("as described: large ids are taken for each other")
PYTHON
