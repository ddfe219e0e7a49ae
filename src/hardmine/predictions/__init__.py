"""What any model found, in whatever form a tool wrote it: read, matched to a data set, checked for the usual mistakes.

found = read_found("predictions.json")     COCO results, YOLO text files, Parquet, FiftyOne, Label Studio: by the path
table = resolve(found, dataset)            of the data set's own images and classes, boxes as corners in pixels
"""

from hardmine.predictions.found import BOX_FORMATS, Found
from hardmine.predictions.masks import PredictedMasks
from hardmine.predictions.parquet import found_in, scan_found
from hardmine.predictions.proposals import proposals_in
from hardmine.predictions.reading import holds_parquet, read_found, read_json, results_in_parts
from hardmine.predictions.records import checked_record, found_records
from hardmine.predictions.resolving import (
    ClassNames,
    Confirmed,
    as_coco_results,
    read_results,
    resolve,
    written_results,
    written_table,
)

__all__ = [
    "BOX_FORMATS",
    "ClassNames",
    "Confirmed",
    "Found",
    "PredictedMasks",
    "as_coco_results",
    "checked_record",
    "found_in",
    "found_records",
    "holds_parquet",
    "proposals_in",
    "read_found",
    "read_json",
    "read_results",
    "resolve",
    "results_in_parts",
    "scan_found",
    "written_results",
    "written_table",
]
