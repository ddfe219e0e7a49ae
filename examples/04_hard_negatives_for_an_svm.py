"""Hard negative mining as it was before networks: a linear SVM on features, and a working set of negatives.

Windows of the built-in scenes: those of objects are the positives, random ones that miss every object the negatives.
The working set ends with a small part of the negatives, and gives the classifier that all of them would have given.
"""

import numpy as np
import torch
from skimage.feature import hog
from skimage.transform import resize
from sklearn.svm import LinearSVC
from torchvision.ops import box_iou

from hardmine.data import open_scenes
from hardmine.mining import FalsePositiveBootstrap, WorkingSetMiner

WINDOWS, SIDE = 60, 24


def windows(split: str, num_images: int) -> tuple[np.ndarray, np.ndarray]:
    """Gradient histograms (n, d) of the windows of some images, and which of them show an object (n,)."""
    torch.manual_seed(0)
    features, is_object = [], []
    for image, target in open_scenes(split, num_images=num_images):
        corner, side = torch.rand(WINDOWS, 2) * 96, torch.rand(WINDOWS, 1) * 16 + 16
        random = torch.cat([corner, corner + side], dim=1)
        misses = (box_iou(random, target["boxes"]) < 0.3).all(dim=1)
        boxes = torch.cat([target["boxes"], random[misses]]).round().int().tolist()
        features += [histogram(image.float().mean(dim=0).numpy()[y1:y2, x1:x2]) for x1, y1, x2, y2 in boxes]
        is_object += [True] * len(target["boxes"]) + [False] * int(misses.sum())
    return np.array(features), np.array(is_object)


def histogram(pixels: np.ndarray) -> np.ndarray:
    return hog(resize(pixels, (SIDE, SIDE)), pixels_per_cell=(6, 6), cells_per_block=(2, 2))


X, y = windows("train", 60)
X_val, y_val = windows("val", 20)
svm = LinearSVC(C=1, dual=False, tol=1e-8)

miner = WorkingSetMiner(svm, random_state=0).fit(X, y)
for number, row in enumerate(miner.history_):
    print(f"round {number}: {row['negatives']} negatives, {row['violators_outside']} others violate the margin")
everything = svm.fit(X, y)
apart = np.abs(miner.estimator_.coef_ - everything.coef_).max()
print(f"{len(miner.working_set_)} of {len(X)} windows, and the weights of all of them to {apart:.0e}")

for name, rounds in (("random negatives", 0), ("and false positives, 3 times", 3)):
    model = FalsePositiveBootstrap(svm, rounds=rounds, random_state=0).fit(X, y)
    mistaken = (model.predict(X_val)[~y_val]).mean()
    print(f"{name}: {mistaken:.1%} of the background windows of other images are taken for objects")
