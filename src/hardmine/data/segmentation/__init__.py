"""Semantic segmentation: a class for every pixel, whatever format the masks are in, and what is wrong with them."""

__all__: list[str] = []
