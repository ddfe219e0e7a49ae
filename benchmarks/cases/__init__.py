"""What is compared, by group."""

from benchmarks.cases import assigners, losses, ranking

__all__ = ["GROUPS"]

GROUPS = {"losses": losses.cases, "assigners": assigners.cases, "ranking": ranking.cases}
