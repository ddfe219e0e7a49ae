#!/usr/bin/env bash
# rfdetr's Base model "from scratch" starts from the weights of DINOv2, which it fetches; the other sizes start from none.
#
# RFDETRBaseConfig(pretrain_weights=None) and RFDETRNanoConfig(pretrain_weights=None) give the same warning, "The model
# will be initialised from scratch". For Nano (and Small, Medium, Large, whose patches are of 16 pixels) this is so. Base
# has DINOv2's own patches and positions, and then asks the Hugging Face hub for the weights of facebook/dinov2-small: it
# does not build offline, and a comparison of the sizes from scratch compares a pretrained encoder with random ones.
# Its log names the sizes whose encoder is not loaded, and says nothing of the one whose encoder is. The download is
# replaced by a note of its name here; nothing else is.
#
# Seen with rfdetr 1.11.2 on Python 3.11:
#   rfdetr 1.11.2
#   Nano: says 'initialised from scratch': True; weights asked for: none
#   Base: says 'initialised from scratch': True; weights asked for: ['facebook/dinov2-small']
#   as described: Base starts from the weights of DINOv2, and Nano from none
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "rfdetr[train]==1.11.2"
cd "$folder"
export RF_HOME="$folder"
venv/bin/python - <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

from rfdetr import config
from rfdetr.models.backbone import dinov2
from rfdetr.training import RFDETRModelModule

asked_for = []


def remember(cls, name, *given, config, **named):  # in place of the download; all the rest is rfdetr's
    asked_for.append(name)
    return cls(config)


dinov2.WindowedDinov2WithRegistersBackbone.from_pretrained = classmethod(remember)
training = config.TrainConfig(dataset_dir=".", output_dir=".")
found = {}
print(f"rfdetr {version('rfdetr')}")
for size in ("Nano", "Base"):
    asked_for.clear()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        settings = getattr(config, f"RFDETR{size}Config")(pretrain_weights=None, num_classes=2, device="cpu")
        RFDETRModelModule(settings, training)
    scratch = any("will be initialised from scratch" in str(warning.message) for warning in said)
    found[size] = (scratch, list(asked_for))
    print(f"{size}: says 'initialised from scratch': {scratch}; weights asked for: {asked_for or 'none'}")
if found != {"Nano": (True, []), "Base": (True, ["facebook/dinov2-small"])}:
    sys.exit("changed: it is no longer as described above")
print("as described: Base starts from the weights of DINOv2, and Nano from none")
PYTHON
