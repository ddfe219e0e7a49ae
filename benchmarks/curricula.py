"""What do samplings that change with training time gain on the built-in scenes?

    python -m benchmarks.curricula --seeds 3 --out runs/curricula

The default detector of `hardmine compare`, one comparison: the framework's own sampling, OHEM from the first step, OHEM
after a warm-up, OHEM that comes in by and by, and self-paced learning, which begins with what is easy. The last two are
recipes of this script alone. Leaves the runs in --out, and benchmarks/results/curricula.json.
"""

import argparse
import json
from pathlib import Path

import hardmine as hm
from benchmarks.machine import describe
from hardmine.cli.comparison_tables import comparison_tables
from hardmine.cli.showing import show_all
from hardmine.comparison import RecipeChoice
from hardmine.comparison.compare import compare
from hardmine.equation.recipe import BEYOND_RPN
from hardmine.recipes import RECIPES
from hardmine.training import TrainingConfig

RESULT = Path(__file__).parent / "results" / "curricula.json"
COMPARED = (
    RecipeChoice("random"),
    RecipeChoice("ohem"),
    RecipeChoice("ohem", {"warmup": 0.1}),
    RecipeChoice("ohem", {"warmup": 0.3}),
    RecipeChoice("ohem_by_and_by"),
    RecipeChoice("self_paced"),
)


def ohem_by_and_by(budget: int = 64) -> hm.Recipe:
    """From what the framework samples to what OHEM keeps, linearly over the whole training."""
    return hm.Recipe(
        name="ohem_by_and_by",
        kind="hard",
        on=BEYOND_RPN,
        slots=lambda _: {"select": hm.Slot(hm.Scheduled(None, hm.OHEM(budget), 0.0, 1.0))},
    )


def self_paced(first_share: float = 0.5, full_at: float = 0.5) -> hm.Recipe:
    """Of what the framework samples the easy half first, and all from the middle of the training on."""
    return hm.Recipe(
        name="self_paced",
        kind="hard",
        on=BEYOND_RPN,
        slots=lambda _: {slot: hm.Slot(hm.SelfPaced(first_share, full_at)) for slot in ("classify", "regress")},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--out", type=Path, default=Path("runs/curricula"))
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    RECIPES["ohem_by_and_by"], RECIPES["self_paced"] = ohem_by_and_by, self_paced
    machine, config = describe(), TrainingConfig(epochs=options.epochs)
    compared = compare(config, COMPARED, range(options.seeds), options.out, resume=True, progress=False)
    options.result.write_text(json.dumps({"machine": machine, "comparison": compared.to_dict()}, indent=1) + "\n")
    show_all(*comparison_tables(compared))


if __name__ == "__main__":
    main()
