"""Training one detector from one configuration, and using what came out.

`train(config, out)` reads top down: `config` says what to do, `batches` which images when, `optimise` how weights move;
`trainer` runs an epoch, `loop` strings them together, `folder` and `checkpoint` keep the outcome, and `run` uses it.
"""

from hardmine.training.config import TrainingConfig
from hardmine.training.folder import RunFolder
from hardmine.training.loop import RunResult, train
from hardmine.training.run import LoadedRun, evaluate_run, load_run, predict_run
from hardmine.training.segment import predict_probabilities

__all__ = [
    "LoadedRun",
    "RunFolder",
    "RunResult",
    "TrainingConfig",
    "evaluate_run",
    "load_run",
    "predict_probabilities",
    "predict_run",
    "train",
]
