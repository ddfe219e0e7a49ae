"""What `test_trainer.py` starts on two processes: gradients of one global batch, then a whole training.

torchrun --nproc-per-node=2 two_processes.py FOLDER CONFIG...
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator

from hardmine import wrap
from hardmine.data import open_dataset
from hardmine.detectors import Detector, build
from hardmine.recipes import RECIPES
from hardmine.training import TrainingConfig, train, trainer
from hardmine.training.checkpoint import save_tensors, with_prefix


def make_detector_without_chance(config: TrainingConfig, num_classes: int) -> Detector:
    """As `make_detector`, but Faster R-CNN may sample more than there is: two processes draw other random numbers."""
    torch.manual_seed(config.seed)
    model = build(config.detector, num_classes, backbone=config.backbone, image_size=config.image_size)
    if config.detector == "fasterrcnn":
        for part in (model.rpn, model.roi_heads):
            part.fg_bg_sampler.batch_size_per_image = 100_000
    return wrap(model, RECIPES[config.recipe]())


def save_gradients(folder: Path, configs: Sequence[TrainingConfig]) -> None:
    """Writes losses and gradients of the first global batch of each training, as all processes have them together."""
    trainer.make_detector = make_detector_without_chance
    accelerator = Accelerator()
    for number, config in enumerate(configs):
        training = trainer.Trainer(config, accelerator, open_dataset(config.data, config.train_split))
        losses = training.backward(*next(iter(training.loader)))
        losses = accelerator.reduce(losses, reduction="mean")
        gradients = {name: p.grad for name, p in training.detector.named_parameters() if p.grad is not None}
        if accelerator.is_main_process:
            tensors = losses | with_prefix("gradient", gradients)
            save_tensors(folder / str(number), tensors, {"processes": accelerator.num_processes})
    accelerator.wait_for_everyone()


if __name__ == "__main__":
    folder, configs = Path(sys.argv[1]), [TrainingConfig.from_json(text) for text in sys.argv[2:]]
    save_gradients(folder, configs)
    train(configs[0], folder / "run")
    Accelerator().end_training()
