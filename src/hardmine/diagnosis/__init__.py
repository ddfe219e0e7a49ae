"""Where a detector's gradient comes from, and what holds it back."""

from hardmine.diagnosis.gradient_shares import GradientShares, SamplesOfObjects
from hardmine.diagnosis.held_back import Diagnosis, diagnose

__all__ = ["Diagnosis", "GradientShares", "SamplesOfObjects", "diagnose"]
