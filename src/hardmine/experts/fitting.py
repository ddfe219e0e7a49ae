"""How an expert, or a bank, is made of samples that were held out.

The base has learnt none of them, so what it finds hard is hard and not just new to it. No sample is judged by a model
that has learnt it either: the gate learns from what the expert of one half of the images says of the other half, and
the bank of one image of another. A gate that was learnt where the second model has learnt would always believe it.

    Wolpert, Stacked Generalization, Neural Networks 5(2), 1992: the combiner is learnt out of fold.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hardmine.errors import ConfigError, DataError
from hardmine.experts.bank import Bank
from hardmine.experts.expert import Expert
from hardmine.experts.held_out import HeldOutSamples
from hardmine.experts.mixture import mixed_logits

__all__ = ["fit_bank", "fit_expert"]

Model = TypeVar("Model", Expert, Bank)
BATCH = 256
HEAD_LR, GATE_LR = 3e-3, 3e-2
GATE_STEPS = 200
SMALLEST_DEVIATION = 1e-3


@torch.enable_grad()
def fit_expert(
    samples: HeldOutSamples,
    *,
    hidden: int = 64,
    probability: float = 0.7,
    steps: int = 400,
    weight_decay: float = 0.05,
    seed: int = 0,
) -> Expert:
    """A small head that learns the hard samples by cross entropy, and a gate that learns all of them.

    Three heads are learnt: one of each half of the images, whose words on the other half the gate learns from, and that
    which stays, of all.

    Args: probability: a sample is hard where the base gives its class less; above 1: all are.  steps: of AdamW for each
        head, of 256 hard samples drawn with replacement.  seed: the global random state is neither read nor changed.
    Raises: ConfigError: an argument out of its range.  DataError: fewer than two images, or a half of them without a
        hard sample.
    """
    _check(probability, steps, weight_decay)
    expert = _like(samples, lambda: Expert(samples.num_features, samples.num_classes, hidden), seed)
    hard = samples.hardness > 1 - probability
    start = {name: of.clone() for name, of in expert.state_dict().items()}
    said = torch.zeros_like(samples.logits)
    for half in (0, 1):
        expert.load_state_dict(start)
        _fit_head(expert, samples.only(_some(hard & (samples.half == half), probability)), steps, weight_decay, seed)
        other = samples.half != half
        with torch.no_grad():
            said[other] = expert.says(samples.features[other], samples.logits[other])
    expert.load_state_dict(start)
    _fit_head(expert, samples.only(hard), steps, weight_decay, seed)
    _fit_gate(expert.opening, expert.seen(samples.features, samples.logits).detach(), samples, said)
    return expert.eval()


@torch.enable_grad()
def fit_bank(
    samples: HeldOutSamples,
    *,
    size: int = 4096,
    neighbours: int = 8,
    temperature: float = 0.05,
    probability: float = 0.7,
    seed: int = 0,
) -> Bank:
    """A bank of the hard samples, the hardest where they are more than its places, and its gate, which learns from all.

    Args: size, neighbours, temperature: of `Bank`.  probability: as of `fit_expert`.
    Raises: ConfigError: an argument out of its range.  DataError: fewer than two images, or no hard sample.
    """
    _check(probability, 1, 0)
    bank = _like(samples, lambda: Bank(samples.num_features, samples.num_classes, size, neighbours, temperature), seed)
    hard = _some(samples.hardness > 1 - probability, probability).nonzero().squeeze(1)
    hard = hard[samples.hardness[hard].argsort(stable=True)][-size:]  # the hardest come last and stay
    bank.add(samples.features[hard], samples.labels[hard])
    image = torch.full_like(bank.labels, -1)
    image[: len(hard)] = samples.image[hard]
    said, seen = _said_of_others(bank, samples, image)
    _fit_gate(bank.opening, seen, samples, said)
    return bank.eval()


@torch.no_grad()
def _said_of_others(bank: Bank, samples: HeldOutSamples, image: Tensor) -> tuple[Tensor, Tensor]:
    """What the bank says of each sample by those of other images, (n, C), and what its gate is given, (n, 2).

    image: (size,) of each place.
    """
    said, seen = [], []
    for start in range(0, len(samples), BATCH):
        part = samples.only(torch.arange(start, min(start + BATCH, len(samples)), device=samples.labels.device))
        similarity = bank.similarity(part.features).masked_fill(part.image[:, None] == image, -2.0)
        said.append(bank.vote(similarity))
        surest = part.logits.log_softmax(dim=-1).amax(dim=-1)
        seen.append(torch.stack([similarity.amax(dim=-1), surest], dim=-1))
    return torch.cat(said), torch.cat(seen)


def _check(probability: float, steps: int, weight_decay: float) -> None:
    if not probability > 0 or steps < 1 or not weight_decay >= 0:
        raise ConfigError(
            "expected a probability above 0, at least one step and a weight decay of at least 0; got "
            f"probability={probability}, steps={steps}, weight_decay={weight_decay}"
        )


def _like(samples: HeldOutSamples, make: Callable[[], Model], seed: int) -> Model:
    """A new model that the seed decides, where the samples are, with their mean and deviation."""
    if len(torch.unique(samples.image)) < 2:
        raise DataError("got samples of one image, or none; at least two are needed, so that each is judged by others")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make().to(samples.features.device)
    model.mean.copy_(samples.features.mean(dim=0))
    model.deviation.copy_(samples.features.std(dim=0).clamp_min(SMALLEST_DEVIATION))
    return model


def _some(hard: Tensor, probability: float) -> Tensor:
    if not hard.any():
        raise DataError(
            f"the base gives every class, in a half of the images or in all, a probability of {probability} or more: "
            "nothing is hard; choose a higher probability, or more images"
        )
    return hard


def _fit_head(expert: Expert, hard: HeldOutSamples, steps: int, weight_decay: float, seed: int) -> None:
    """Cross entropy of the head alone: the gate takes no part."""
    generator = torch.Generator().manual_seed(seed)
    parameters = [*expert.first.parameters(), *expert.last.parameters()]
    optimizer = torch.optim.AdamW(parameters, HEAD_LR, weight_decay=weight_decay)
    for _ in range(steps):
        drawn = torch.randint(len(hard), (BATCH,), generator=generator).to(hard.labels.device)
        loss = F.cross_entropy(expert.says(hard.features[drawn], hard.logits[drawn]), hard.labels[drawn])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _fit_gate(opening: nn.Linear, seen: Tensor, samples: HeldOutSamples, said: Tensor) -> None:
    """The likelihood of the mixture of what both say, in which only the gate is free."""
    optimizer = torch.optim.Adam(opening.parameters(), GATE_LR)
    for _ in range(GATE_STEPS):
        loss = F.cross_entropy(mixed_logits(samples.logits, said, opening(seen).squeeze(-1)), samples.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
