from .false_positive_bootstrap import FalsePositiveBootstrap as FalsePositiveBootstrap
from .folder import write_mined as write_mined
from .label_files import LabelFiles as LabelFiles, label_files as label_files
from .labels import Labels as Labels, labels_of as labels_of
from .mask_folder import hardness_map as hardness_map, mine_masks as mine_masks
from .masks import (
    SuspectMasks as SuspectMasks,
    pixel_suspicion as pixel_suspicion,
    suspect_masks as suspect_masks,
    suspect_regions as suspect_regions,
)
from .matching import Matching as Matching, match as match
from .naming import (
    ERRORS as ERRORS,
    HARD as HARD,
    hardness_of_detections as hardness_of_detections,
    hardness_of_objects as hardness_of_objects,
    name_detections as name_detections,
)
from .pairs import Detections as Detections, Objects as Objects
from .rounds import Round as Round, mine_in_rounds as mine_in_rounds, mine_run as mine_run
from .sampler import MinedSampler as MinedSampler
from .shards import mine_shards as mine_shards
from .symmetric import SymmetricMiner as SymmetricMiner
from .tables import MinedTables as MinedTables, mine as mine
from .working_set import WorkingSetMiner as WorkingSetMiner
