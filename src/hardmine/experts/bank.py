"""A memory of hard samples: what is like them is given their labels.

p_bank(c) ∝ Σ_j exp(cos(f, f_j) / T) · [label_j = c]        over the k nearest

Khandelwal, Levy, Jurafsky, Zettlemoyer, Lewis, Generalization through Memorization: Nearest Neighbor Language
Models, ICLR 2020, arXiv:1911.00172.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from hardmine.errors import ConfigError, ShapeError
from hardmine.experts.mixture import SecondModel, mixed_logits

__all__ = ["Bank"]

EMPTY = -1
"""Label of a place where nothing is."""


class Bank(SecondModel):
    """A queue of fixed size: features and labels of hard samples, the latest of them.

    The gate is logistic in two numbers, how near the nearest is and how sure the base; at weights of 0 it is one number
    for all, as in the paper. An empty bank has a share of 0, so that the base is left exactly as it is.

    Differs from the paper: cosine similarity in the place of a distance, and a share that may differ between samples.

    Args: size: places.  neighbours: k.  temperature: T, above 0.
    Raises: ConfigError: a number below 1, fewer than two classes, or a temperature that is not above 0.
    """

    def __init__(
        self, num_features: int, num_classes: int, size: int = 4096, neighbours: int = 8, temperature: float = 0.05
    ):
        super().__init__(num_features, num_classes, gate_inputs=2)
        if min(size, neighbours) < 1 or not temperature > 0:
            raise ConfigError(
                "a bank needs at least one place, one neighbour and a temperature above 0; got "
                f"size={size}, neighbours={neighbours}, temperature={temperature}"
            )
        self.size, self.neighbours, self.temperature = size, min(neighbours, size), temperature
        self.register_buffer("keys", torch.zeros(size, num_features))
        self.register_buffer("labels", torch.full((size,), EMPTY))
        self.register_buffer("added", torch.zeros((), dtype=torch.int64))
        self.keys: Tensor
        self.labels: Tensor
        self.added: Tensor

    @property
    def options(self) -> dict[str, int | float]:
        """What it was made with."""
        return {
            "num_features": self.num_features,
            "num_classes": self.num_classes,
            "size": self.size,
            "neighbours": self.neighbours,
            "temperature": self.temperature,
        }

    @torch.no_grad()
    def add(self, features: Tensor, labels: Tensor) -> None:
        """Puts samples (n, d) with labels (n,) behind those that are there; the oldest make room.

        Raises: ShapeError: another number of features, or not one label each.
        """
        if features.shape[1:] != (self.num_features,) or labels.shape != features.shape[:1]:
            raise ShapeError(
                f"got features {tuple(features.shape)} and labels {tuple(labels.shape)}, expected (n, "
                f"{self.num_features}) and (n,)"
            )
        skipped = max(0, len(features) - self.size)
        places = (self.added + skipped + torch.arange(len(features) - skipped, device=features.device)) % self.size
        self.keys[places] = self.directions(features[skipped:]).to(self.keys.dtype)
        self.labels[places] = labels[skipped:]
        self.added += len(features)

    def directions(self, features: Tensor) -> Tensor:
        """Scaled features (n, d), of length 1."""
        return F.normalize(self.scaled(features), dim=-1)

    def similarity(self, features: Tensor) -> Tensor:
        """(n, size) cosine with what is there; -inf where nothing is."""
        return (self.directions(features) @ self.keys.T).masked_fill(self.labels == EMPTY, -torch.inf)

    def vote(self, similarity: Tensor) -> Tensor:
        """Logits (n, C) of what the k nearest say, given the similarity (n, size)."""
        nearest, places = similarity.topk(self.neighbours, dim=-1)
        weight = (nearest.clamp_min(-2) / self.temperature).softmax(dim=-1) * (nearest > -torch.inf)
        votes = similarity.new_zeros(len(similarity), self.num_classes)
        votes = votes.scatter_add(1, self.labels[places].clamp_min(0), weight)
        return votes.clamp_min(torch.finfo(votes.dtype).tiny).log()

    def opened(self, similarity: Tensor, base: Tensor) -> Tensor:
        """The gate (n,), given the similarity (n, size); -inf where there is nothing to be like."""
        nearest = similarity.amax(dim=-1)
        is_there = nearest > -torch.inf
        surest = base.detach().log_softmax(dim=-1).amax(dim=-1)
        seen = torch.stack([torch.where(is_there, nearest, 0), surest], dim=-1)
        return torch.where(is_there, self.opening(seen).squeeze(-1), -torch.inf)

    def says(self, features: Tensor, base: Tensor) -> Tensor:
        return self.vote(self.similarity(features))

    def gate(self, features: Tensor, base: Tensor) -> Tensor:
        return self.opened(self.similarity(features), base)

    def forward(self, features: Tensor, base: Tensor) -> Tensor:
        similarity = self.similarity(features)  # once for both
        return mixed_logits(base, self.vote(similarity), self.opened(similarity, base))
