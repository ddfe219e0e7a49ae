"""Rows and columns: names that tables share, and rows of two tables that belong together."""

__all__: list[str] = []
