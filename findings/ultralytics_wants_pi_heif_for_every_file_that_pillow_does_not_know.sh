#!/usr/bin/env bash
# Once ultralytics has been imported, Pillow raises ModuleNotFoundError for a file that is no image, where it says
# UnidentifiedImageError, which programs catch to leave such files out.
#
# ultralytics puts a function of its own in the place of PIL.Image.open, for the whole process. On a file that Pillow does
# not know it wants the package pi-heif, tries to install it with pip where it may (here AUTOINSTALL is off by the
# environment), and imports it. A loader of images that has nothing to do with ultralytics then fails in another way than
# Pillow's documentation says, and may start an installation.
#
# Seen with ultralytics 8.4.190, Pillow 12.3 on Python 3.11:
#   before the import: UnidentifiedImageError
#   after it: ModuleNotFoundError (No module named 'pi_heif')
#   as described: a file that is no image is another error once ultralytics has been imported
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "ultralytics==8.4.190" torch torchvision
cd "$folder"
echo "a note that somebody put among the images" > note.png
YOLO_AUTOINSTALL=false YOLO_CONFIG_DIR="$folder" venv/bin/python - <<'PYTHON'
import sys

from PIL import Image


def error_of(file):
    try:
        Image.open(file).close()
    except Exception as error:
        return error


before = error_of("note.png")
import ultralytics  # noqa: E402

after = error_of("note.png")
print(f"before the import: {type(before).__name__}")
print(f"after it: {type(after).__name__} ({after})")
if type(before).__name__ != "UnidentifiedImageError" or type(after).__name__ != "ModuleNotFoundError":
    sys.exit(f"changed with ultralytics {ultralytics.__version__}: it is no longer as described above")
print("as described: a file that is no image is another error once ultralytics has been imported")
PYTHON
