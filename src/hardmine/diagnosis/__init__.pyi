from .gradient_shares import GradientShares as GradientShares, SamplesOfObjects as SamplesOfObjects
from .head_tables import HeadTables as HeadTables
from .held_back import Diagnosis as Diagnosis, diagnose as diagnose
from .inspecting import inspect_detector as inspect_detector, inspect_run as inspect_run
from .inspection import Inspection as Inspection, write_inspection as write_inspection
from .sentences import Sentence as Sentence
from .watching import Watched as Watched, watch as watch
