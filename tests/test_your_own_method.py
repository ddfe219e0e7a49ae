"""The package that docs/your-own-method.md shows keeps to the contract, and trains from the command line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

PAGE = (Path(__file__).parents[1] / "docs" / "your-own-method.md").read_text()
SHOWN = re.compile(r"`([\w/]+\.(?:toml|py))`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DECLARED = re.compile(r'^\[project\.entry-points\."(.+)"\]\n((?:\w+ = ".+"\n)+)', re.MULTILINE)


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """Its files, and beside them what an installer makes of its pyproject.toml."""
    folder = tmp_path_factory.mktemp("package")
    files = dict(SHOWN.findall(PAGE))
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    info = folder / "near_misses-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: near-misses\nVersion: 1.0\n")
    group, recipes = DECLARED.findall(files["pyproject.toml"])[0]
    (info / "entry_points.txt").write_text(f"[{group}]\n{recipes.replace(chr(34), '')}")
    return folder


@pytest.fixture
def data(tmp_path) -> Path:
    """Two splits of two images with one object each, as YOLO has them."""
    folder = tmp_path / "data"
    for split, number in ((split, number) for split in ("train", "val") for number in range(2)):
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), (90 * number, 40, 60)).save(folder / "images" / split / f"{number}.png")
        (folder / "labels" / split / f"{number}.txt").write_text("0 .5 .5 .5 .5\n")
    (folder / "data.yaml").write_text("path: .\ntrain: images/train\nval: images/val\nnames: [cat]\n")
    return folder


def run(package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "COLUMNS": "250"}
    command, options = [sys.executable, *arguments], {"capture_output": True, "text": True, "timeout": 300}
    return subprocess.run(command, cwd=package, env=environment, check=False, **options)


def test_all_its_files_are_shown(package):
    found = {str(path.relative_to(package)) for path in package.rglob("*.*") if ".dist-info" not in str(path)}
    assert found == {"pyproject.toml", "near_misses/__init__.py", "tests/test_near_misses.py"}


def test_its_own_test_passes(package):
    done = run(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_its_recipe_is_listed_explained_and_trained(package, data, tmp_path):
    assert "near-misses:near_misses" in run(package, "-m", "hardmine", "recipes").stdout
    assert "iou=0.1" in run(package, "-m", "hardmine", "explain", "near-misses:near_misses:iou=.1").stdout
    options = f"--data {data} --detector retinanet --backbone micro --image-size 64 --epochs 1 --batch-size 2"
    recipe = ["--recipe", "near-misses:near_misses:iou=.1", "--out", str(tmp_path / "run")]
    done = run(package, "-m", "hardmine", "train", *options.split(), *recipe)
    assert done.returncode == 0, done.stderr
    assert '"recipe": "near-misses:near_misses"' in (tmp_path / "run" / "config.json").read_text()
