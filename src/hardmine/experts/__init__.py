"""An expert for the hard ones: what a model finds hard goes to a second, small one, and a gate says whom to believe.

collect                      what a model says of images that it has not learnt: features, logits, labels
fit_expert, fit_bank         a small head, or a memory, of what was hard among them, and its gate
add_expert, remove_expert    puts it behind the model's last layer; its inference is then the mixture
"""

from hardmine.experts.bank import Bank
from hardmine.experts.collecting import collect, collect_of_run
from hardmine.experts.expert import Expert
from hardmine.experts.fitting import fit_bank, fit_expert
from hardmine.experts.held_out import HeldOutSamples
from hardmine.experts.merged import Merged, add_expert, remove_expert
from hardmine.experts.mixture import SecondModel, mixed_logits
from hardmine.experts.saving import load_expert, save_expert

__all__ = [
    "Bank",
    "Expert",
    "HeldOutSamples",
    "Merged",
    "SecondModel",
    "add_expert",
    "collect",
    "collect_of_run",
    "fit_bank",
    "fit_expert",
    "load_expert",
    "mixed_logits",
    "remove_expert",
    "save_expert",
]
