#!/usr/bin/env bash
# Pillow multiplies the values of a grey PNG of 2 or 4 bits: class 1 of a label mask becomes 85 or 17.
#
# PNG stores a mask of few classes in 2 or 4 bits a pixel, which is valid and what encoders that save space write. As
# levels of grey, 0 to 3 or 0 to 15 mean black to white, so Pillow spreads them over 0 to 255, says mode "L", and nothing
# in the image tells that it did. A mask of classes read so has other classes: 1 is 85 (2 bits) or 17 (4 bits). The same
# values with a palette stay as they are, and so do those of 8 bits. Divide by 85 or 17 where the file's header says so.
#
# Seen with pillow 13.0.0 and pypng 0.20220715.0 on Python 3.11:
#   pillow 13.0.0, pypng 0.20220715.0
#   grey, 2 bits: stored [0, 1, 2, 3], read [0, 85, 170, 255], mode L
#   grey, 4 bits: stored [0, 1, 2, 3], read [0, 17, 34, 51], mode L
#   grey, 8 bits: stored [0, 1, 2, 3], read [0, 1, 2, 3], mode L
#   palette, 2 bits: stored [0, 1, 2, 3], read [0, 1, 2, 3], mode P
#   palette, 4 bits: stored [0, 1, 2, 3], read [0, 1, 2, 3], mode P
#   as described: grey values of few bits are spread, those of a palette are not
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "pillow==13.0.0" "pypng==0.20220715.0"
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys
from importlib.metadata import version

import png
from PIL import Image

CLASSES = [0, 1, 2, 3]
SPREAD = {2: 85, 4: 17, 8: 1}
print(f"pillow {version('pillow')}, pypng {version('pypng')}")
as_described = True
for palette in (None, [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]):
    for bits in (2, 4, 8) if palette is None else (2, 4):
        kind = {"greyscale": True} if palette is None else {"palette": palette}
        with open("mask.png", "wb") as file:
            png.Writer(len(CLASSES), 1, bitdepth=bits, **kind).write(file, [CLASSES])
        with Image.open("mask.png") as image:
            found, mode = list(image.tobytes()), image.mode
        name = "grey" if palette is None else "palette"
        print(f"{name}, {bits} bits: stored {CLASSES}, read {found}, mode {mode}")
        factor = SPREAD[bits] if palette is None else 1
        as_described &= found == [factor * value for value in CLASSES]
if not as_described:
    sys.exit("changed: it is no longer as described above")
print("as described: grey values of few bits are spread, those of a palette are not")
PYTHON
