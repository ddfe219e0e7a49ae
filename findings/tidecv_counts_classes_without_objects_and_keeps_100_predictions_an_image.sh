#!/usr/bin/env bash
# tidecv's AP is another than COCO's: classes without objects count as 0, and 100 predictions an image are kept in all.
#
# COCO's evaluation (pycocotools) leaves a class without any object out of the mean, because its AP is undefined, and
# keeps the 100 predictions with the highest scores of an image *and class*. tidecv
# - has an AP of 0 for a class that has predictions but no object, and takes it into the mean: one stray prediction of
#   a second class halves a perfect AP;
# - keeps 100 predictions of an image over all classes together (`max_dets` of what `datasets.COCO` reads): those of one
#   class push right ones of another out.
# No error, no warning. Its numbers must not be put beside those of COCO's evaluation.
#
# Seen with tidecv 1.0.1, pycocotools 2.0.11 and numpy 2.4.6 on Python 3.11:
#   tidecv 1.0.1, pycocotools 2.0.11
#   all objects of a found, b has none: AP at .5 is 1.000 (tidecv), 1.000 (pycocotools)
#   the same and one prediction of b: AP at .5 is 0.500 (tidecv), 1.000 (pycocotools)
#   100 of a and 50 of b, all found: AP at .5 is 0.500 (tidecv), 1.000 (pycocotools)
#   as described: classes without objects count as 0, and 100 predictions an image are kept over all classes
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet setuptools "tidecv==1.0.1" "pycocotools==2.0.11" "numpy<2.5"
cd "$folder"
MPLBACKEND=Agg venv/bin/python - <<'PYTHON'
import contextlib
import io
import json
import sys
from importlib.metadata import version

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from tidecv import TIDE, datasets


def corners(x, y, width, height):
    """A box as the polygon that tidecv asks of every object."""
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def both(annotations, results):
    """AP at IoU .5, in [0, 1], by tidecv and by pycocotools."""
    truth = {
        "images": [{"id": 1, "file_name": "1.png", "width": 2000, "height": 2000}],
        "annotations": [
            a | {"id": n, "area": 400, "iscrowd": 0, "segmentation": [corners(*a["bbox"])]}
            for n, a in enumerate(annotations, start=1)
        ],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }
    for name, content in (("truth.json", truth), ("results.json", results)):
        with open(name, "w") as file:
            json.dump(content, file)
    with contextlib.redirect_stdout(io.StringIO()):
        run = TIDE().evaluate(datasets.COCO("truth.json"), datasets.COCOResult("results.json"), mode=TIDE.BOX)
        data = COCO("truth.json")
        reference = COCOeval(data, data.loadRes("results.json"), "bbox")
        reference.evaluate()
        reference.accumulate()
        reference.summarize()
    return run.ap / 100, float(reference.stats[1])


def box(category, place):
    return {"image_id": 1, "category_id": category, "bbox": [30 * (place % 60), 30 * (place // 60), 20, 20]}


def found(category, place, score):
    return box(category, place) | {"score": score}


print(f"tidecv {version('tidecv')}, pycocotools {version('pycocotools')}")
seen = {}
cases = {
    "all objects of a found, b has none": ([box(1, 0)], [found(1, 0, 0.9)]),
    "the same and one prediction of b": ([box(1, 0)], [found(1, 0, 0.9), found(2, 5, 0.1)]),
    "100 of a and 50 of b, all found": (
        [box(1, n) for n in range(100)] + [box(2, n) for n in range(100, 150)],
        [found(1, n, 0.9) for n in range(100)] + [found(2, n, 0.5) for n in range(100, 150)],
    ),
}
for name, case in cases.items():
    seen[name] = both(*case)
    print(f"{name}: AP at .5 is {seen[name][0]:.3f} (tidecv), {seen[name][1]:.3f} (pycocotools)")
expected = [(1, 1), (0.5, 1), (0.5, 1)]
if any(abs(is_ - was) > 0.02 for pair, other in zip(seen.values(), expected) for is_, was in zip(pair, other)):
    sys.exit("changed: it is no longer as described above")
print("as described: classes without objects count as 0, and 100 predictions an image are kept over all classes")
PYTHON
