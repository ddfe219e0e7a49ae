"""What a model misses, pasted onto other images: train, mine, train on it, and images of rare classes more often.

The same with commands: hardmine train, hardmine mine --run, hardmine train --augment-from --repeat-factors.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from hardmine.augmentation import HardCrops, PasteHard, parse_repeat_rule, repeat_factors
from hardmine.data import TrainingTransform, export, open_dataset, open_scenes
from hardmine.mining import mine_run
from hardmine.training import TrainingConfig, train
from hardmine.training.augmented import hard_places

with TemporaryDirectory() as folder:
    data, first, mined, second = (Path(folder) / name for name in ("data", "first", "mined", "second"))
    scenes = {"train": open_scenes("train", num_images=120), "val": open_scenes("val", num_images=10)}
    export(scenes, "coco", data)  # yours is on disk already
    options = {"detector": "retinanet", "backbone": "tiny", "recipe": "ohem_mmdet", "batch_size": 4, "lr": 0.003}
    config = TrainingConfig.from_dict(options | {"data": str(data), "epochs": 4, "flip_horizontal": 0.0})
    train(config, first, progress=False)
    mine_run(
        first, mined, progress=False
    )  # of so few images; folds=3 says what is hard for a model that saw none of them

    dataset = open_dataset(data, "train")
    places = hard_places(mined, dataset)
    print(f"{len(places.of_objects)} hard objects, {len(places.of_backgrounds)} hard backgrounds")

    torch.manual_seed(0)
    paste = TrainingTransform(PasteHard(HardCrops(dataset, places.of_objects)))
    for index in range(3):
        (_, before), (_, after) = dataset[index], paste(*dataset[index])
        print(
            f"image {index}: {len(before['labels'])} objects, and {len(after['labels']) - len(before['labels'])} pasted"
        )

    factors = repeat_factors(dataset, parse_repeat_rule("irfs:t=.3"))
    print(f"images are drawn in proportion to {factors.min():.2f} to {factors.max():.2f}")

    augmented = replace(config, epochs=1, augment_from=str(mined), augment="paste=.5", repeat_factors="irfs:t=.3")
    print(f"AP {train(augmented, second, progress=False).metrics.ap:.3f}: too short a training to say anything")
