"""An expert for the hard ones: a second head for what a small Faster R-CNN finds hard on scenes not learnt.

    python examples/12_expert.py [EPOCHS]

The same with a memory in the place of the head. Two epochs show how it is done; what it is good for is measured in
docs/expert.md.
"""

import sys
import tempfile
from pathlib import Path

import torch

import hardmine as hm
from hardmine.data import open_dataset
from hardmine.evaluation import evaluate_predictions
from hardmine.training import TrainingConfig, train
from hardmine.training.predict import predict
from hardmine.training.processes import start_accelerator

torch.set_num_threads(1)  # the model is tiny
EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 2

with tempfile.TemporaryDirectory() as folder:
    run = Path(folder) / "run"
    train(TrainingConfig(fold="1/5", epochs=EPOCHS), run, progress=False)  # learns four fifths of the images
    loaded, samples = hm.experts.collect_of_run(run)  # RoIs of the last fifth
    print(f"{len(samples)} RoIs were held out, {int((samples.hardness > 0.3).sum())} are hard")

    expert = hm.experts.fit_expert(samples)
    hm.experts.save_expert(Path(folder) / "expert.safetensors", expert)  # beside the weights, which stay as they are
    seconds = {
        "alone": None,
        "with an expert": hm.experts.load_expert(Path(folder) / "expert.safetensors"),
        "with a bank": hm.experts.fit_bank(samples),
    }

val, accelerator = open_dataset("scenes", "val"), start_accelerator()
for name, second in seconds.items():
    if second is not None:
        hm.experts.add_expert(loaded.detector, second)
    metrics = evaluate_predictions(val.coco_ground_truth(), predict(loaded.detector, val, accelerator))
    if second is not None:
        hm.experts.remove_expert(loaded.detector)
    print(f"{name:15} AP {metrics.ap:.3f}  AP50 {metrics.ap50:.3f}")
