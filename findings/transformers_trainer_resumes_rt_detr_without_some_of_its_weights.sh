#!/usr/bin/env bash
# A Trainer that resumes an RT-DETRv2 from its own checkpoint leaves some of the weights as the new model had them.
#
# save_pretrained writes some tensors under older names, which from_pretrained knows how to read. A Trainer that resumes
# reads the file without that knowledge: tensors of names that the model does not have are left out, with no more than a
# warning, and the training goes on with what the layers began with. from_pretrained of the same folder is right.
#
# Seen with transformers 5.24.0 on Python 3.11 (a tiny model, one epoch of two steps, resumed with nothing left to train):
#   5.24.0
#   from_pretrained: 0 of 446 tensors differ from those that were saved
#   resumed: 28 of 446 tensors differ
#   as described: resuming leaves weights behind that from_pretrained finds
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "transformers==5.24.0" "accelerate==1.15.0" torch torchvision scipy
cd "$folder"
export HF_HOME="$folder" HF_HUB_OFFLINE=1
venv/bin/python - <<'PYTHON' 2>warnings.txt
import sys
from importlib.metadata import version

import torch
from transformers import RTDetrResNetConfig, RTDetrV2Config, RTDetrV2ForObjectDetection, Trainer, TrainingArguments

SIZES = dict(
    encoder_hidden_dim=32, encoder_in_channels=[8, 8, 8], d_model=32, decoder_in_channels=[32, 32, 32], num_queries=20,
    decoder_layers=2, encoder_ffn_dim=16, decoder_ffn_dim=16, encoder_layers=1, decoder_attention_heads=2,
    encoder_attention_heads=2, decoder_n_points=2, num_denoising=8, num_labels=3,
)  # fmt: skip
BACKBONE = dict(embedding_size=8, hidden_sizes=[8] * 4, depths=[1] * 4, layer_type="basic")


def model(seed):
    torch.manual_seed(seed)
    backbone = RTDetrResNetConfig(**BACKBONE, out_features=["stage2", "stage3", "stage4"])
    return RTDetrV2ForObjectDetection(RTDetrV2Config(backbone_config=backbone, **SIZES))


def trained(model, resume=None):
    arguments = TrainingArguments(
        "out", num_train_epochs=1, per_device_train_batch_size=2, remove_unused_columns=False, report_to="none",
        use_cpu=True, disable_tqdm=True, save_strategy="epoch",
    )  # fmt: skip
    Trainer(model, arguments, collate, DATA).train(resume_from_checkpoint=resume)
    return model


def collate(items):
    return {"pixel_values": torch.stack([of["pixel_values"] for of in items]), "labels": [of["labels"] for of in items]}


def different(first, second):
    others = second.state_dict()
    return sum(not torch.equal(tensor, others[name]) for name, tensor in first.state_dict().items())


torch.manual_seed(0)
OBJECT = {"class_labels": torch.tensor([1]), "boxes": torch.tensor([[0.5, 0.5, 0.3, 0.3]])}
DATA = [{"pixel_values": torch.rand(3, 64, 64), "labels": OBJECT} for _ in range(4)]
first = trained(model(1))
read = different(first, RTDetrV2ForObjectDetection.from_pretrained("out/checkpoint-2"))
resumed = different(first, trained(model(2), "out/checkpoint-2"))
number = len(first.state_dict())
print(version("transformers"))
print(f"from_pretrained: {read} of {number} tensors differ from those that were saved")
print(f"resumed: {resumed} of {number} tensors differ")
if read or not resumed:
    sys.exit("changed: it is no longer as described above")
print("as described: resuming leaves weights behind that from_pretrained finds")
PYTHON
