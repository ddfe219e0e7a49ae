"""What every method stands on: boxes, samples and their evidence, ranks in groups, sums over processes."""

__all__: list[str] = []
