"""How names of outside, and our own short ones, are shown to a reader."""

from hardmine.files.printable import escaped

__all__ = ["measure_name", "shown"]

MEASURES = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP, small objects (below 32² pixels)",
    "ap_medium": "AP, medium objects",
    "ap_large": "AP, large objects (above 96² pixels)",
    "ar100": "recall with 100 boxes",
    "error_class": "wrong class",
    "error_location": "badly located",
    "error_both": "wrong class and badly located",
    "error_duplicate": "duplicate",
    "error_background": "background taken for an object",
    "error_missed": "missed",
    "error_false_positive": "all false positives",
    "error_false_negative": "all false negatives",
    "ece": "calibration error of scores (ECE)",
    "miou": "mIoU",
    "boundary_iou": "boundary IoU",
    "mean_accuracy": "mean accuracy of classes",
    "lrp": "localisation recall precision error (LRP)",
}


def shown(text: object) -> str:
    r"""Text with what a page would not show, or show out of its order, as Python escapes it: `a\x01b`, `\u202e`."""
    return escaped(str(text))


def measure_name(measure: str) -> str:
    """What a measure is called in a table."""
    return MEASURES.get(measure, shown(measure).replace("_", " "))
