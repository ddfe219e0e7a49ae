"""A recipe in RF-DETR, trained by its own Lightning module."""

import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import hardmine as hm
from hardmine.data import export, open_scenes

if find_spec("rfdetr") is None:
    print("skipped: pip install 'hardmine[rfdetr]'")
    sys.exit()

from rfdetr.config import RFDETRNanoConfig, TrainConfig
from rfdetr.training import RFDETRDataModule, RFDETRModelModule, build_trainer

torch.manual_seed(0)
with TemporaryDirectory() as folder:
    scenes = {"train": open_scenes("train", num_images=4), "val": open_scenes("val", num_images=2)}
    data = export(scenes, "coco", Path(folder) / "scenes")  # yours is such a folder already

    model_config = RFDETRNanoConfig(num_classes=4, resolution=128, pretrain_weights=None, device="cpu")
    train_config = TrainConfig(
        dataset_dir=str(data), output_dir=folder, epochs=1, batch_size=2, grad_accum_steps=1, num_workers=0,
        tensorboard=False, run_test=False, multi_scale=False, accelerator="cpu",
    )  # fmt: skip
    module = RFDETRModelModule(model_config, train_config)
    attached = hm.attach(module, hm.recipes.hnm())  # before the trainer is built
    trainer = build_trainer(train_config, model_config)
    if hasattr(attached, "callback"):  # keeps what the recipe remembers in each checkpoint
        trainer.callbacks.append(attached.callback())
    trainer.fit(module, RFDETRDataModule(model_config, train_config))
    print({name: round(float(value), 3) for name, value in trainer.callback_metrics.items() if "loss" in name})
