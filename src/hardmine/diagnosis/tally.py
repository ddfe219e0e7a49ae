"""Sums over all samples that a head has seen, step by step: tables of fixed size, on the device.

Each table is (kind, bin, measure); so are the images, of which only the richest keep a row of their own. Whatever needs
an order (tenths of the loss, ranks, quantiles of images) is read off fine histograms at the end.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from hardmine.diagnosis.bins import (
    NUM_FINE,
    SIZES,
    bins_of,
    fine_bin,
    num_bins,
    num_pixel_bins,
    pixel_bins_of,
    size_of_area,
)
from hardmine.diagnosis.look import NEGATIVE, PADDING, POSITIVE, Look, PixelLook

__all__ = ["MEASURES", "NUM_RICHEST", "RANKS", "PixelTally", "Sums", "Tally"]

MEASURES = ("count", "kept", "loss", "weight", "gradient", "box_gradient")
COUNT, _, _, WEIGHT, GRADIENT, _ = range(len(MEASURES))
NUM_KINDS = PADDING + 1
NUM_RICHEST = 10
"""Images with rows of their own."""
RANKS = (256, 128)
"""Bins of scores and of IoUs by which positives are ranked: their ranks are exact up to ties within a bin."""
LARGEST_LOGIT = 14.0


class Sums:
    """The sums of one head of any kind. Samples are (kind, bin) places of each table, so that none is picked out.

    sums: (4, K, M) of each table, float64.  squares: Σ w² and Σ g² of the samples.
    images: (NUM_FINE, 2) counts and gradients of images by a fine histogram of their gradient.
    richest: (R, 2 + M): number of an image, its positives and its sums.
    empty: (2,) images without a positive, and their gradient.
    """

    def __init__(self, num_classes: int, bins: Mapping[str, int], device: torch.device):
        self.num_classes = num_classes
        self.num_steps = self.num_images = 0
        self.num_whole_steps = 0.0
        self.has_loss = True
        wide = {"dtype": torch.float64, "device": device}
        self.sums = {name: torch.zeros(NUM_KINDS, num, len(MEASURES), **wide) for name, num in bins.items()}
        self.squares = torch.zeros(2, **wide)
        self.images = torch.zeros(NUM_FINE, 2, **wide)
        self.richest = torch.zeros(0, 2 + len(MEASURES), **wide)
        self.empty = torch.zeros(2, **wide)

    def _add(self, look: Look | PixelLook, places: Mapping[str, Tensor], values: Tensor, share: float) -> None:
        """One step: the bin of each sample in each table, and its measures (B, N, M)."""
        self.num_steps += 1
        self.num_whole_steps += share
        self.has_loss &= look.loss is not None
        for name, place in places.items():
            sums = self.sums[name]
            flat = (look.kind * sums.shape[1] + place).flatten()
            sums.view(-1, len(MEASURES)).index_add_(0, flat, values.flatten(0, 1))
        is_sample = (look.kind == POSITIVE) | (look.kind == NEGATIVE)
        of_samples = torch.where(is_sample.unsqueeze(-1), values, 0)
        self.squares += torch.stack([of_samples[..., of].square().sum() for of in (WEIGHT, GRADIENT)])
        self._add_images(of_samples.sum(1), (look.kind == POSITIVE).sum(1))

    def _add_images(self, of_images: Tensor, positives: Tensor) -> None:
        number = torch.arange(len(of_images), dtype=of_images.dtype, device=of_images.device) + self.num_images
        self.num_images += len(of_images)
        gradient = of_images[:, GRADIENT]
        counted = torch.stack([torch.ones_like(gradient), gradient], 1)
        self.images.index_add_(0, fine_bin(gradient), counted)
        self.empty += (counted * (positives == 0).unsqueeze(1)).sum(0)
        rows = torch.cat([self.richest, torch.cat([number[:, None], positives[:, None], of_images], 1)])
        order = rows[:, 2 + GRADIENT].sort(descending=True, stable=True).indices
        self.richest = rows[order[:NUM_RICHEST]]


class PixelTally(Sums):
    """The sums of a head of pixels."""

    def __init__(self, num_classes: int, device: torch.device):
        super().__init__(num_classes, num_pixel_bins(num_classes), device)

    @torch.no_grad()
    def add(self, look: PixelLook, gradient: Tensor, share: float = 1.0) -> None:
        """One step of the head; gradient (B, N): Σ |∂L/∂z| of each pixel.

        share: what its losses and gradients are multiplied by.
        """
        self._add(look, pixel_bins_of(look), _values(look, gradient, None, share), share)


class Tally(Sums):
    """The sums of a head of boxes, and beside them:

    objects: (3, 3) of each size how many, how many of them without a positive, and their positives.
    objects_of: (C,) objects of each class.
    moments: of score s and IoU o of positives n, Σs, Σo, Σs², Σo², Σso.  ranks: their counts by bins.
    candidates: (4,) of each kind, before a sampling may have left some out of the head's sight.
    """

    def __init__(self, num_classes: int, device: torch.device):
        super().__init__(num_classes, num_bins(num_classes), device)
        self.has_box, self.has_levels = True, False
        wide = {"dtype": torch.float64, "device": device}
        self.objects = torch.zeros(len(SIZES), 3, **wide)
        self.objects_of = torch.zeros(num_classes, **wide)
        self.moments = torch.zeros(6, **wide)
        self.ranks = torch.zeros(RANKS[0] * RANKS[1] + 1, **wide)
        self.candidates = torch.zeros(NUM_KINDS, **wide)

    @torch.no_grad()
    def add(self, look: Look, gradient: Tensor, box_gradient: Tensor | None = None, share: float = 1.0) -> None:
        """One step of the head; gradient (B, N): Σ |∂L/∂z| of each sample, box_gradient: the same of its box code.

        share: what its losses and gradients are multiplied by.
        """
        self.has_box &= box_gradient is not None
        self.has_levels |= look.level is not None
        self._add(look, bins_of(look, self.num_classes), _values(look, gradient, box_gradient, share), share)
        self._add_objects(look)
        self._add_quality(look)

    def add_candidates(self, kind: Tensor) -> None:
        """What a sampling chooses from, (B, N) kinds."""
        flat = kind.flatten()
        self.candidates.index_add_(0, flat, torch.ones_like(flat, dtype=self.candidates.dtype))

    def _add_objects(self, look: Look) -> None:
        num = look.is_object.shape[1]
        is_positive = look.kind == POSITIVE
        columns = self.objects.new_zeros(len(look.kind), num + 1)
        own = torch.where(is_positive, look.matched, num)
        positives = columns.scatter_add_(1, own, torch.ones_like(own, dtype=columns.dtype))[:, :num]
        there = look.is_object.to(columns.dtype)
        rows = torch.stack([there, there * (positives == 0), there * positives], -1)
        self.objects.index_add_(0, size_of_area(look.areas).flatten(), rows.flatten(0, 1))

    def add_labels(self, labels: Tensor, is_object: Tensor) -> None:
        """The objects of the images, (B, G) classes."""
        self.objects_of.index_add_(0, labels.flatten(), is_object.flatten().to(self.objects_of.dtype))

    def _add_quality(self, look: Look) -> None:
        is_positive = look.kind == POSITIVE
        score, iou = (torch.where(is_positive, of, 0).double() for of in (look.own_score, look.box_iou))
        terms = (is_positive.double(), score, iou, score.square(), iou.square(), score * iou)
        self.moments += torch.stack([term.sum() for term in terms])
        place = _rank_bin(look.own_score, look.box_iou)
        flat = torch.where(is_positive, place, RANKS[0] * RANKS[1]).flatten()
        self.ranks.index_add_(0, flat, torch.ones_like(flat, dtype=self.ranks.dtype))


def _values(look: Look | PixelLook, gradient: Tensor, box_gradient: Tensor | None, share: float) -> Tensor:
    """(B, N, M) in float64."""
    nothing = torch.zeros_like(gradient)
    columns = (
        torch.ones_like(gradient),
        look.weight > 0,
        nothing if look.loss is None else look.loss * share,
        look.weight,
        gradient * share,
        nothing if box_gradient is None else box_gradient * share,
    )
    return torch.stack([column.double() for column in columns], -1)


def _rank_bin(score: Tensor, iou: Tensor) -> Tensor:
    """Scores by their log-odds, so that those of an untrained detector are told apart, too."""
    odds = score.logit(1e-6).clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
    by_score = ((odds / LARGEST_LOGIT + 1) / 2 * RANKS[0]).long().clamp(0, RANKS[0] - 1)
    return by_score * RANKS[1] + (iou * RANKS[1]).long().clamp(0, RANKS[1] - 1)
