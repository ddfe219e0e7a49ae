#!/usr/bin/env bash
# A loss that is an nn.Module, given to a transformers detector as its loss_function, is silently never called.
#
# model.loss_function = f takes a function or a bound method. An nn.Module (the usual form of a loss in PyTorch) is taken
# by Module.__setattr__ as a child before the property's setter is reached: the model goes on with its stock loss, says
# nothing, and saves the module's parameters and buffers with its own. Who trains with a weighted loss of their own this
# way trains without it. Give its forward instead: model.loss_function = loss.forward.
#
# Seen with transformers 5.24.0 on Python 3.11 (a YOLOS of two layers, random weights; the loss given is half the stock's):
#   transformers 5.24.0
#   stock loss 3.1125
#   model.loss_function = mine.forward: loss 1.5562, 1 call
#   model.loss_function = mine: loss 3.1125, 0 calls; state_dict has ['loss_function.steps']
#   as described: a loss that is a module is stored, saved with the model, and never called
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "transformers==5.24.0" torch torchvision scipy
cd "$folder"
export HF_HOME="$folder" HF_HUB_OFFLINE=1
venv/bin/python - <<'PYTHON'
import sys
from importlib.metadata import version

import torch
from transformers import YolosConfig, YolosForObjectDetection

calls = 0


class Halved(torch.nn.Module):
    """A loss of one's own, with a buffer: half of the one that it is given."""

    def __init__(self, loss):
        super().__init__()
        self.given = [loss]
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, *given, **named):
        global calls
        calls += 1
        loss, *others = self.given[0](*given, **named)
        return loss / 2, *others


def loss_of(model):
    torch.manual_seed(1)
    objects = [{"class_labels": torch.tensor([1]), "boxes": torch.tensor([[0.5, 0.5, 0.4, 0.4]])}]
    return float(model(pixel_values=torch.rand(1, 3, 64, 64), labels=objects).loss.detach())


torch.manual_seed(0)
model = YolosForObjectDetection(
    YolosConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=[64, 64],
                num_detection_tokens=10, num_labels=3)
).eval()  # fmt: skip
stock = loss_of(model)
mine = Halved(model.loss_function)
model.loss_function = mine.forward  # a bound method: is called
as_method, calls_as_method, calls = loss_of(model), calls, 0
del model._loss_function
model.loss_function = mine  # a module: is not
as_module = loss_of(model)
in_state = [name for name in model.state_dict() if name.startswith("loss_function")]
print(f"transformers {version('transformers')}")
print(f"stock loss {stock:.4f}")
print(f"model.loss_function = mine.forward: loss {as_method:.4f}, {calls_as_method} call")
print(f"model.loss_function = mine: loss {as_module:.4f}, {calls} calls; state_dict has {in_state}")
if (as_module, calls, in_state) != (stock, 0, ["loss_function.steps"]) or calls_as_method != 1 or as_method >= stock:
    sys.exit("changed: it is no longer as described above")
print("as described: a loss that is a module is stored, saved with the model, and never called")
PYTHON
