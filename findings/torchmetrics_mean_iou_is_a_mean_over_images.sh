#!/usr/bin/env bash
# torchmetrics' MeanIoU is a mean over images, not the mIoU of the segmentation literature, which adds up all pixels.
#
# mIoU in papers and benchmarks (Pascal VOC, Cityscapes, ADE20K) adds up intersections and unions over the data set
# first, and divides then. torchmetrics.segmentation.MeanIoU divides in each image and takes the mean over images, so an
# object of one pixel that is missed on one image weighs as much as a whole image of its class on another. Nor is its
# value with per_class=False the mean of its values with per_class=True: the first is a mean over all pairs of an image
# and a class in it, the second for each class a mean over the images that it is in.
#
# Seen with torchmetrics 1.9.0 and torch 2.14.1 on Python 3.11:
#   torchmetrics 1.9.0, torch 2.14.1
#   two images, one pixel of 200 wrong: all pixels added up 0.990, MeanIoU 0.748
#   a class on one image of two: MeanIoU 0.722, the mean of its values by class 0.667
#   as described: MeanIoU is a mean over images
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torchmetrics==1.9.0" "torch==2.14.1"
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys
from importlib.metadata import version

import torch
from torch import Tensor
from torchmetrics.segmentation import MeanIoU


def of_torchmetrics(truth: Tensor, found: Tensor, *, per_class: bool = False) -> Tensor:
    metric = MeanIoU(num_classes=2, per_class=per_class, input_format="index")
    metric.update(found, truth)
    return metric.compute()


def of_all_pixels(truth: Tensor, found: Tensor) -> float:
    overlaps = [((truth == c) & (found == c)).sum() / ((truth == c) | (found == c)).sum() for c in (0, 1)]
    return float(sum(overlaps) / 2)


print(f"torchmetrics {version('torchmetrics')}, torch {version('torch').split('+')[0]}")
truth = torch.zeros(2, 10, 10, dtype=torch.long)
truth[0, 0, 0], truth[1, :9] = 1, 1
found = truth.clone()
found[0, 0, 0] = 0
whole, by_image = of_all_pixels(truth, found), float(of_torchmetrics(truth, found))
print(f"two images, one pixel of 200 wrong: all pixels added up {whole:.3f}, MeanIoU {by_image:.3f}")

alone = torch.zeros(2, 2, 2, dtype=torch.long)
alone[1, 0] = 1
seen = alone.clone()
seen[1, 0, 0] = 0
value, of_classes = float(of_torchmetrics(alone, seen)), float(of_torchmetrics(alone, seen, per_class=True).mean())
print(f"a class on one image of two: MeanIoU {value:.3f}, the mean of its values by class {of_classes:.3f}")
if not (whole > 0.98 and by_image < 0.76 and abs(value - of_classes) > 0.01):
    sys.exit("changed: it is no longer as described above")
print("as described: MeanIoU is a mean over images")
PYTHON
