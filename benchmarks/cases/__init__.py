"""What is compared, by group."""

from benchmarks.cases import assigners, losses

__all__ = ["GROUPS"]

GROUPS = {"losses": losses.cases, "assigners": assigners.cases}
