"""What a set-prediction detector finds in an image, of its queries."""

from collections.abc import Sequence

from torch import Tensor
from torchvision.ops import box_convert, clip_boxes_to_image

from hardmine.core.samples import Activation

__all__ = ["best_queries"]

MOST_FOUND = 300


def best_queries(
    logits: Tensor, boxes: Tensor, image: Sequence[int], activation: Activation = "sigmoid"
) -> dict[str, Tensor]:
    """The 300 best of all pairs of a query and a class: boxes (K, 4) in pixels of the image, labels and scores (K,).

    Args: logits: (N, C), or (N, C + 1) with the background last.  boxes: (N, 4) middle, width, height in 0..1.
        image: its height and width.
    """
    scores = logits.sigmoid() if activation == "sigmoid" else logits.softmax(dim=-1)[:, :-1]
    best, place = scores.flatten().topk(min(MOST_FOUND, scores.numel()))
    height, width = image
    corners = box_convert(boxes[place // scores.shape[1]], "cxcywh", "xyxy")
    corners = clip_boxes_to_image(corners * corners.new_tensor([width, height, width, height]), (height, width))
    return {"boxes": corners, "labels": place % scores.shape[1], "scores": best}
