"""Tiny detectors of transformers from configurations, and batches: objects in all images, in one, in none."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

SIDE, CLASSES = 64, 4
RESNET = {"embedding_size": 8, "hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "layer_type": "basic"}
HYBRID = {
    "encoder_hidden_dim": 32, "encoder_in_channels": [8, 8, 8], "d_model": 32, "decoder_in_channels": [32, 32, 32],
    "num_queries": 20, "decoder_layers": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "encoder_layers": 1,
    "decoder_attention_heads": 2, "encoder_attention_heads": 2, "decoder_n_points": 2, "num_denoising": 8,
}  # fmt: skip
PLAIN = {
    "num_queries": 12, "d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16, "encoder_attention_heads": 2, "decoder_attention_heads": 2, "auxiliary_loss": True,
    "use_timm_backbone": False,
}  # fmt: skip


def configuration(name: str, **sizes: Any) -> Any:
    import transformers

    return getattr(transformers, f"{name}Config")(**sizes)


def rt_detr(kind: str) -> nn.Module:
    backbone = configuration("RTDetrResNet", **RESNET, out_features=["stage2", "stage3", "stage4"])
    return of(kind, backbone_config=backbone, **HYBRID)


def detr(kind: str) -> nn.Module:
    return of(kind, backbone_config=configuration("ResNet", **RESNET, out_features=["stage4"]), **PLAIN)


def deformable(kind: str) -> nn.Module:
    backbone = configuration("ResNet", **RESNET, out_features=["stage2", "stage3", "stage4"])
    return of(kind, backbone_config=backbone, num_feature_levels=3, **PLAIN)


def yolos(kind: str) -> nn.Module:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    return of(kind, image_size=[SIDE, SIDE], num_detection_tokens=10, **sizes)


def of(kind: str, **sizes: Any) -> nn.Module:
    import transformers

    return getattr(transformers, f"{kind}ForObjectDetection")(configuration(kind, num_labels=CLASSES, **sizes))


MODELS: dict[str, Callable[[str], nn.Module]] = {
    "RTDetr": rt_detr,
    "RTDetrV2": rt_detr,
    "Detr": detr,
    "ConditionalDetr": detr,
    "DeformableDetr": deformable,
    "Yolos": yolos,
}


@pytest.fixture
def make_detr() -> Callable[[str], nn.Module]:
    """A model of one of the kinds in `MODELS`, always with the same weights."""

    def make(kind: str) -> nn.Module:
        torch.manual_seed(0)
        return MODELS[kind](kind).train()

    return make


@pytest.fixture
def make_labels() -> Callable[..., list[dict[str, Tensor]]]:
    """So many objects of each image; the first of each is two pixels large."""

    def make(*numbers: int) -> list[dict[str, Tensor]]:
        return [{"class_labels": torch.randint(CLASSES, (n,)), "boxes": _boxes(n)} for n in numbers]

    return make


def _boxes(number: int) -> Tensor:
    boxes = torch.cat([torch.rand(number, 2) * 0.6 + 0.2, torch.rand(number, 2) * 0.2 + 0.05], dim=-1)
    boxes[:1, 2:] = 2 / SIDE
    return boxes
