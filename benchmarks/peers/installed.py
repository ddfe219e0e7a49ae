"""Where each peer's functions are; a name raises ImportError where the peer is not installed."""

import importlib
from functools import partial

from benchmarks.peers.mmdetection import load as mmdetection

__all__ = ["kornia", "mmdetection", "monai", "monai_samplers", "segmentation_models", "torchvision", "ultralytics"]

torchvision = partial(importlib.import_module, "torchvision.ops")
kornia = partial(importlib.import_module, "kornia.losses")
monai = partial(importlib.import_module, "monai.losses")
monai_samplers = partial(importlib.import_module, "monai.apps.detection.utils.hard_negative_sampler")
segmentation_models = partial(importlib.import_module, "segmentation_models_pytorch.losses")
ultralytics = partial(importlib.import_module, "ultralytics.utils.tal")
