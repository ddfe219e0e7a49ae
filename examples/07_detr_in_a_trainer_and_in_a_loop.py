"""A recipe in a detector of transformers, trained by its Trainer and in a loop of your own."""

import sys
from importlib.util import find_spec
from tempfile import TemporaryDirectory

import torch

import hardmine as hm
from hardmine.data import open_scenes

if find_spec("transformers") is None:
    print("skipped: pip install 'hardmine[transformers]'")
    sys.exit()

from transformers import ResNetConfig, RTDetrConfig, RTDetrForObjectDetection, Trainer, TrainingArguments

SIDE = 128
scenes = open_scenes("train", num_images=8, size=SIDE)


def as_transformers_wants_it(index: int) -> dict:
    """Pixels, and boxes as centre, width and height in 0..1: what an image processor makes of your images."""
    image, target = scenes[index]
    corners = target["boxes"] / SIDE
    boxes = torch.cat([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], dim=1)
    return {"pixel_values": image / 255, "labels": {"class_labels": target["labels"], "boxes": boxes}}


def collate(batch: list[dict]) -> dict:
    pixels = torch.stack([item["pixel_values"] for item in batch])
    return {"pixel_values": pixels, "labels": [item["labels"] for item in batch]}


def small_detector() -> RTDetrForObjectDetection:
    """From a configuration; yours comes from_pretrained(...)."""
    backbone = ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32, 48, 64], depths=[1] * 4, layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    sizes = {"d_model": 32, "encoder_hidden_dim": 32, "encoder_in_channels": [32, 48, 64], "encoder_ffn_dim": 64}
    sizes |= {"decoder_in_channels": [32] * 3, "decoder_ffn_dim": 64, "decoder_layers": 2, "num_queries": 50}
    config = RTDetrConfig(
        backbone_config=backbone, num_labels=len(scenes.classes), use_pretrained_backbone=False,
        encoder_attention_heads=4, decoder_attention_heads=4, **sizes,
    )  # fmt: skip
    return RTDetrForObjectDetection(config)


torch.manual_seed(0)
model = small_detector()
attached = hm.attach(model, hm.recipes.ghm())
with TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        folder, num_train_epochs=2, per_device_train_batch_size=4, remove_unused_columns=False, report_to="none",
        use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    dataset = [as_transformers_wants_it(index) for index in range(len(scenes))]
    # the callback keeps what the recipe remembers (GHM: its histogram) beside each checkpoint
    trainer = Trainer(model, arguments, collate, dataset, callbacks=[attached.callback()])
    print("Trainer:", trainer.train().training_loss)

model = small_detector()
hm.attach(model, hm.recipes.vfl())
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
for step in range(3):
    loss = model(**collate(dataset[:4])).loss  # the model's own, of all its layers, weighed
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print("loop:", step, round(loss.item(), 3))
