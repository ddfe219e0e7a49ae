"""`python -m hardmine`, and what `accelerate launch -m hardmine` and `torchrun -m hardmine` start."""

from hardmine.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
