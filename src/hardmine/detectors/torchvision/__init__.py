"""torchvision's detectors: one adapter each, what they are built of, and the weights they start from."""

__all__: list[str] = []
