#!/usr/bin/env bash
# torch.nn.functional.interpolate(antialias=True) of bytes stops with an internal error where an image becomes one pixel.
#
# An image (1, 3, H, W) of uint8 made smaller to 1x1 pixels raises "num_channels == unpacked_output.size(0) INTERNAL ASSERT
# FAILED ... please report a bug to PyTorch" (UpSampleKernelAVXAntialias.h, on a CPU with AVX2); to 1x2 or 2x1 it works,
# and as float32 it always does. torchvision's v2.functional.resize of a uint8 image goes that way, so an augmentation that
# scales small objects meets it. Remedy: resize floats, and round.
#
# Seen with torch 2.14.1 on Python 3.11, CPU:
#   uint8 to 1x2: (1, 3, 1, 2)
#   uint8 to 1x1: RuntimeError (num_channels == unpacked_output.size(0) INTERNAL ASSERT FAILED)
#   float32 to 1x1: (1, 3, 1, 1)
#   as described: bytes cannot be made smaller to a single pixel
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.14.1" numpy
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch


def outcome(dtype, size):
    image = torch.zeros(1, 3, 5, 5, dtype=dtype)
    try:
        resized = torch.nn.functional.interpolate(image, size=size, mode="bilinear", antialias=True)
    except RuntimeError as error:
        return f"RuntimeError ({str(error).split(' at ')[0]})"
    return str(tuple(resized.shape))


found = [outcome(torch.uint8, (1, 2)), outcome(torch.uint8, (1, 1)), outcome(torch.float32, (1, 1))]
for what, got in zip(("uint8 to 1x2", "uint8 to 1x1", "float32 to 1x1"), found):
    print(f"{what}: {got}")
if found[0] != "(1, 3, 1, 2)" or "INTERNAL ASSERT" not in found[1] or found[2] != "(1, 3, 1, 1)":
    sys.exit(f"changed with torch {torch.__version__}: it is no longer as described above")
print("as described: bytes cannot be made smaller to a single pixel")
PYTHON
