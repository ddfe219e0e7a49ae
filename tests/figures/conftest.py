"""Runs that figures are drawn from."""

from tests.seen_runs import dense, few, others, run_of, two_stage

__all__ = ["dense", "few", "others", "run_of", "two_stage"]
