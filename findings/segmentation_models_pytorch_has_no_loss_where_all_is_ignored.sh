#!/usr/bin/env bash
# Losses of segmentation_models_pytorch where every pixel is ignored: Dice is 0, focal NaN, Lovász an empty tensor.
#
# A crop may lie wholly in what is not labelled. With ignore_index, three losses of one library then give three things:
# DiceLoss the 0 that one expects, connected to the scores; FocalLoss the mean of nothing, NaN, which ends a training;
# LovaszLoss no number at all but a tensor of shape (0, C), which `loss.backward()` refuses and a sum with other losses
# silently turns into an empty tensor, too. As soon as one pixel is labelled all three are finite. Leave such crops out,
# or add a term only where something is labelled.
#
# Seen with segmentation-models-pytorch 0.6.0 and torch 2.14.1 on Python 3.11:
#   segmentation-models-pytorch 0.6.0, torch 2.14.1
#   all ignored: DiceLoss () 0.0
#   all ignored: FocalLoss () nan
#   all ignored: LovaszLoss (0, 3) empty
#   one labelled: DiceLoss, FocalLoss, LovaszLoss finite numbers
#   as described: 0, NaN and an empty tensor
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "segmentation-models-pytorch==0.6.0" "torch==2.14.1" "torchvision==0.29.1"
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys
from importlib.metadata import version

import torch
from segmentation_models_pytorch.losses import DiceLoss, FocalLoss, LovaszLoss

IGNORED = 255
torch.manual_seed(0)
logits = torch.randn(1, 3, 4, 4, requires_grad=True)
masks = {"all ignored": torch.full((1, 4, 4), IGNORED), "one labelled": torch.full((1, 4, 4), IGNORED)}
masks["one labelled"][0, 0, 0] = 1
losses = {kind.__name__: kind("multiclass", ignore_index=IGNORED) for kind in (DiceLoss, FocalLoss, LovaszLoss)}
found = {case: {name: loss(logits, mask) for name, loss in losses.items()} for case, mask in masks.items()}
print(f"segmentation-models-pytorch {version('segmentation-models-pytorch')}, torch {version('torch').split('+')[0]}")
for name, value in found["all ignored"].items():
    print(f"all ignored: {name} {tuple(value.shape)} {value.item() if value.numel() else 'empty'}")
one = found["one labelled"].values()
if not all(value.shape == () and value.isfinite() for value in one):
    sys.exit("changed: with one labelled pixel the losses are no finite numbers")
print(f"one labelled: {', '.join(losses)} finite numbers")
dice, focal, lovasz = found["all ignored"].values()
if not (dice == 0 and focal.isnan() and lovasz.numel() == 0):
    sys.exit("changed: it is no longer as described above")
print("as described: 0, NaN and an empty tensor")
PYTHON
