"""What is compared, by group."""

from benchmarks.cases import assigners, losses, pixels, ranking, samplers

__all__ = ["GROUPS"]

GROUPS = {
    "losses": losses.cases,
    "assigners": assigners.cases,
    "samplers": samplers.cases,
    "ranking": ranking.cases,
    "pixels": pixels.cases,
}
