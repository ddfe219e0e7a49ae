#!/usr/bin/env bash
# Label Studio refuses a labelling configuration that says in which encoding it is written.
#
# <?xml version="1.0" encoding="utf-8"?> is what XML libraries put before a document by default. With it Label Studio
# answers a new project with status 500 (1.23.2: POST /api/projects) and this text of lxml, which is given the
# configuration as text and not as bytes; the same configuration without that line is taken. So whoever writes a
# labelling configuration has to leave the declaration out.
#
# Seen with label-studio-sdk 2.1.2, whose LabelInterface is what the server asks, on Python 3.11:
#   label-studio-sdk 2.1.2
#   without a declaration: taken
#   with version only: taken
#   with encoding: ValueError: Unicode strings with encoding declaration are not supported. [...]
#   as described: the encoding declaration alone makes the difference
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "label-studio-sdk==2.1.2"
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys
from importlib.metadata import version

from label_studio_sdk.label_interface import LabelInterface

CONFIG = """<View><Image name="image" value="$image"/>
<RectangleLabels name="label" toName="image"><Label value="cat"/></RectangleLabels></View>"""
BEFORE = {
    "without a declaration": "",
    "with version only": '<?xml version="1.0"?>\n',
    "with encoding": '<?xml version="1.0" encoding="utf-8"?>\n',
}


def answer(declaration):
    try:
        LabelInterface(declaration + CONFIG)
    except ValueError as error:
        return f"ValueError: {error}"
    return "taken"


print(f"label-studio-sdk {version('label-studio-sdk')}")
answers = {name: answer(declaration) for name, declaration in BEFORE.items()}
for name, what in answers.items():
    print(f"{name}: {what}")
*others, with_encoding = answers.values()
if others != ["taken", "taken"] or "encoding declaration" not in with_encoding:
    sys.exit("changed: it is no longer as described above")
print("as described: the encoding declaration alone makes the difference")
PYTHON
