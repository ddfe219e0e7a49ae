"""Files of others, read in bounded time and memory, and ours, never half of one."""

__all__: list[str] = []
