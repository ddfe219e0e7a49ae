"""Hard negatives as R-CNN mined them: region proposals, features of a frozen network, a linear SVM on top.

    python examples/05_hard_proposals_for_an_svm.py                       the built-in scenes, an untrained network
    python examples/05_hard_proposals_for_an_svm.py PATH [SPLIT]          your data, a network trained on ImageNet

Proposals are the segments of the image at three scales, as selective search begins with. Those that overlap an object
by half or more are positives, with the objects themselves; those that overlap it by less than .3 are negatives; R-CNN
left the others out (Girshick et al., CVPR 2014, section 2.3 and appendix B), and so do all but the last miner here: it
takes of them what came closest to objects that are missed.
"""

import sys

import numpy as np
import torch
from skimage.measure import label as connected, regionprops
from skimage.segmentation import felzenszwalb
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2
from torchvision.ops import box_iou, roi_align

from hardmine.data import open_dataset
from hardmine.mining import FalsePositiveBootstrap, SymmetricMiner, WorkingSetMiner

DATA, SPLITS = (sys.argv[1], sys.argv[2:] or ["train"]) if len(sys.argv) > 1 else ("scenes", ["train"])
NUM_IMAGES = 24
WEIGHTS = None if DATA == "scenes" else MobileNet_V2_Weights.IMAGENET1K_V1
torch.manual_seed(0)
FROZEN = mobilenet_v2(weights=WEIGHTS).features[:7].eval()  # stride 8, 32 channels


def proposals(pixels: np.ndarray) -> torch.Tensor:
    """Boxes (n, 4) of the segments of an image (H, W, 3) at three scales."""
    boxes = []
    for scale in (50, 150, 450):
        segments = connected(felzenszwalb(pixels, scale=scale, min_size=40), background=-1)
        boxes += [(x1, y1, x2, y2) for y1, x1, y2, x2 in (region.bbox for region in regionprops(segments))]
    return torch.tensor(sorted(set(boxes)), dtype=torch.float32)


@torch.no_grad()
def features(image: torch.Tensor, boxes: torch.Tensor) -> np.ndarray:
    """What the frozen network sees in each box, (n, 32 * 9)."""
    maps = FROZEN((image[None].float() / 255 - 0.45) / 0.225)
    pooled = roi_align(maps, [boxes], output_size=3, spatial_scale=1 / 8, aligned=True)
    return normalize(pooled.flatten(1).numpy())


def windows(dataset, indices: range) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of the proposals and objects of some images, their largest IoU with an object, and which one that is."""
    found, overlaps, nearest, num = [], [], [], 0
    for index in indices:
        image, target = dataset[index]
        objects = target["boxes"][~target["iscrowd"]]
        boxes = torch.cat([objects, proposals(dataset.pixels(index))])
        none = torch.zeros(len(boxes), 1)  # in the place of an object, where an image has none
        overlap, which = torch.cat([box_iou(boxes, objects), none], dim=1).max(dim=1)
        found.append(features(image, boxes))
        overlaps.append(overlap.numpy())
        nearest.append(np.where(overlap < 0.3, -1, which + num))
        num += len(objects)
    return np.concatenate(found), np.concatenate(overlaps), np.concatenate(nearest)


def clear(found: np.ndarray, overlaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Those that are not between object and background, and which of them show an object."""
    is_clear = (overlaps >= 0.5) | (overlaps < 0.3)
    return found[is_clear], overlaps[is_clear] >= 0.5


data = open_dataset(DATA, SPLITS[0])
X_all, overlap, nearest = windows(data, range(NUM_IMAGES))
X, y = clear(X_all, overlap)
X_other, y_other = clear(*windows(data, range(NUM_IMAGES, NUM_IMAGES + NUM_IMAGES // 2))[:2])
print(f"{len(X)} proposals and objects of {NUM_IMAGES} images, {y.sum()} of them positive")
svm = LinearSVC(C=10, dual=False, tol=1e-7, max_iter=10_000)

few = FalsePositiveBootstrap(svm, rounds=0, random_state=0).fit(X, y)
bootstrap = FalsePositiveBootstrap(svm, rounds=3, random_state=0).fit(X, y)
symmetric = SymmetricMiner(FalsePositiveBootstrap(svm, rounds=3, random_state=0))
symmetric.fit(X_all, overlap >= 0.5, objects=nearest, closeness=overlap)
miner = WorkingSetMiner(svm, random_state=0).fit(X, y)
everything = svm.fit(X, y)
for name, model, used in (
    ("random negatives", few, len(few.working_set_)),
    ("and false positives, 3 rounds", bootstrap, len(bootstrap.working_set_)),
    ("and hard positives", symmetric, len(symmetric.working_set_)),
    ("working set", miner, len(miner.working_set_)),
    ("all negatives", everything, len(X)),
):
    scores = model.decision_function(X_other)
    mistaken, found = (scores > 0)[~y_other].mean(), (scores > 0)[y_other].mean()
    ap = average_precision_score(y_other, scores)
    print(f"{name:30} {used:6} rows  of others {found:6.1%} are found, {mistaken:5.1%} mistaken  AP {ap:.3f}")
