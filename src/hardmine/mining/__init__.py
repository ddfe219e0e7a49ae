"""Mining offline: on features or predictions that are there, whoever's model made them, with the model fixed."""

from hardmine.mining.false_positive_bootstrap import FalsePositiveBootstrap
from hardmine.mining.folder import write_mined
from hardmine.mining.label_files import LabelFiles, label_files
from hardmine.mining.labels import Labels, labels_of
from hardmine.mining.matching import Matching, match
from hardmine.mining.naming import ERRORS, HARD, hardness_of_detections, hardness_of_objects, name_detections
from hardmine.mining.pairs import Detections, Objects
from hardmine.mining.rounds import Round, mine_in_rounds, mine_run
from hardmine.mining.sampler import MinedSampler
from hardmine.mining.shards import mine_shards
from hardmine.mining.tables import MinedTables, mine
from hardmine.mining.working_set import WorkingSetMiner

__all__ = [
    "ERRORS",
    "HARD",
    "Detections",
    "FalsePositiveBootstrap",
    "LabelFiles",
    "Labels",
    "Matching",
    "MinedSampler",
    "MinedTables",
    "Objects",
    "Round",
    "WorkingSetMiner",
    "hardness_of_detections",
    "hardness_of_objects",
    "label_files",
    "labels_of",
    "match",
    "mine",
    "mine_in_rounds",
    "mine_run",
    "mine_shards",
    "name_detections",
    "write_mined",
]
