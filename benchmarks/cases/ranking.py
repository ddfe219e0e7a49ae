"""Ranking losses: forward + backward of all scores of a batch, at the start of a training and later."""

from collections.abc import Iterator

import torch
from torch import Tensor

import hardmine as hm
from benchmarks.case import Case, with_gradient
from benchmarks.peers import loops

__all__ = ["cases"]

CLASSES = 20
LOOP, BUCKETS = "loop over positives", "buckets (not exact)"


def cases(quick: bool) -> Iterator[Case]:
    for positives, negatives in ((20, 2_000),) if quick else ((100, 10**6), (500, 10**5), (2000, 10**6)):
        for regime in ("initial", "trained"):
            yield from of_size(positives, negatives, regime)


def of_size(positives: int, negatives: int, regime: str) -> Iterator[Case]:
    logits, labels, iou = evidence(positives, negatives, regime)
    size = f"{positives:,} positives, {negatives:,} negatives, {regime} scores"
    box_loss = 2 * (1 - iou)
    for name, ours, who, peer in (
        ("AP loss", hm.APLoss(), LOOP, loops.average_precision),
        ("AP loss", hm.APLoss(interpolated=False), BUCKETS, loops.bucketed_average_precision),
        ("aLRP loss", hm.ALRP(), LOOP, loops.localisation_recall_precision),
        ("RS loss", hm.RankSort(), LOOP, loops.rank_and_sort),
        ("RS loss", hm.RankSort(), BUCKETS, loops.bucketed_rank_and_sort),
    ):
        needed = {"regression_loss": box_loss, "predicted_iou": iou}
        evidence_of = {key: value for key, value in needed.items() if key in ours.needs}
        value = lambda z, loss=ours, more=evidence_of: loss(z, labels, **more)  # noqa: E731
        flat = (labels.flatten(), iou.flatten(), box_loss.flatten())
        theirs = with_gradient(lambda z, peer=peer, flat=flat: peer(z.flatten(0, 1), *flat), logits)
        yield Case(
            group="ranking", operation=name, size=size, ours=with_gradient(value, logits), peers={who: theirs},
            unit=logits, tolerance=1e-3 if who == LOOP else 2e-2, rounds=3,
        )  # fmt: skip


def evidence(positives: int, negatives: int, regime: str) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (2, N, C): all near the prior; or negatives mostly far below the positives."""
    torch.manual_seed(0)
    rows = max(positives, negatives // CLASSES) // 2
    labels = torch.full((2, rows), hm.BACKGROUND)
    labels[:, : positives // 2] = torch.randint(0, CLASSES, (2, positives // 2))
    logits = torch.randn(2, rows, CLASSES) * (0.3 if regime == "initial" else 2) - (4.6 if regime == "initial" else 8)
    if regime == "trained":
        own = torch.randn(2, positives // 2, 1) * 2 - 1
        logits[:, : positives // 2] = logits[:, : positives // 2].scatter(2, labels[:, : positives // 2, None], own)
    return logits, labels, torch.where(labels >= 0, torch.rand(labels.shape), 0)
