"""The claims of the field, measured: what papers and practice say of hard examples, with a verdict on each."""

__all__: list[str] = []
