"""Pascal VOC: one xml per image in `Annotations/`, images in `JPEGImages/`, splits as lists of names in
`ImageSets/Main/`.

Read too: `annotations/` beside `images/`, xml files beside their images (LabelImg), in `train/`, `valid/`, `test/`
(Roboflow) or in any other folders below, each with all that is in it. Without lists and such folders, all is one split
called "all".

Convention: coordinates are taken as written. The VOC book counts pixels from 1, but most tools that write this format
today count from 0, and half of a pixel is below what anyone can draw; other readers and converters leave them too, so
that the same data in COCO form has equal boxes. `difficult` objects become crowd: neither object nor background. An
object without a bndbox has the box around its polygon. Classes are all names in all xml files, sorted, whatever the
split, so that every split has the same; ids count from 1.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from hardmine.data.entries import Id, ImageEntry, Reading, SplitEntries
from hardmine.data.paths import files_below, stem_of
from hardmine.data.problems import ProblemLog
from hardmine.data.splits import SPLIT_WORD, canonical_split, order_splits
from hardmine.data.voc_images import VocImages
from hardmine.data.voc_xml import add_objects, class_names, parse_annotation, stated_size
from hardmine.errors import DataError
from hardmine.files.reading import read_text

__all__ = ["VocSource", "find_voc", "find_voc_folders"]

_FOLDERS = ("annotations", "labels", "xmls", "xml")


@dataclass(frozen=True, slots=True)
class _Tree:
    """Xml files in a folder and below it, and the folder in which they and their images are."""

    path: Path
    annotations: Path

    @property
    def files(self) -> dict[str, Path]:
        """By their path without the suffix."""
        files = sorted(files_below(self.annotations, (".xml",)))
        return {file.relative_to(self.annotations).with_suffix("").as_posix(): file for file in files}


def find_voc(path: Path) -> "VocSource | None":
    """The VOC data set of a folder, of a folder in it, or of one of its xml files; None if there is none.

    Raises: DataError: several VOC trees side by side (as in VOCdevkit).
    """
    if path.is_file():
        above = next((folder for folder in path.parents[:2] if folder.name.lower() in _FOLDERS), None)
        tree = _Tree(path.parent, path.parent) if above is None else _Tree(above.parent, above)
    else:
        inner = [folder for folder in _inner(path) if folder.name.lower() not in _FOLDERS]
        tree = _tree(path, ("Annotations",)) or _only([_tree(f, ("Annotations",), flat=False) for f in inner])
    return None if tree is None else VocSource(tree.path, {"all": tree})


def find_voc_folders(path: Path) -> "VocSource | None":
    """The VOC data set of a folder that other tools laid out; None if there is none.

    Raises: DataError: several VOC trees side by side.
    """
    if not any(map(_is_annotation, files_below(path, (".xml",)))):
        return None
    tree = _tree(path, _FOLDERS)
    inner = {folder.name: found for folder in _inner(path) if (found := _tree(folder, _FOLDERS)) is not None}
    if tree is None and any(SPLIT_WORD.fullmatch(name) for name in inner):
        return VocSource(path, {canonical_split(name): found for name, found in inner.items()})
    tree = tree or _only([found for found in inner.values() if found.annotations != found.path])
    return VocSource(path, {"all": tree or _Tree(path, path)})


def _inner(path: Path) -> list[Path]:
    return [folder for folder in sorted(path.iterdir()) if folder.is_dir()]


def _tree(folder: Path, names: Collection[str], *, flat: bool = True) -> _Tree | None:
    """The tree of a folder with a folder of annotations by one of the names, or, if `flat`, with xml files itself."""
    named = (inner for inner in _inner(folder) if inner.name in names or inner.name.lower() in names)
    annotations = next((inner for inner in named if next(files_below(inner, (".xml",)), None) is not None), None)
    if annotations is None and flat and any(folder.glob("*.xml")):
        annotations = folder
    return None if annotations is None else _Tree(folder, annotations)


def _only(trees: list[_Tree | None]) -> _Tree | None:
    found = [tree for tree in trees if tree is not None]
    if len(found) > 1:
        listed = ", ".join(str(tree.path) for tree in found)
        raise DataError(f"{found[0].path.parent} holds several VOC trees: {listed}; give the path of one")
    return found[0] if found else None


def _is_annotation(file: Path) -> bool:
    return not isinstance(parse_annotation(file), DataError)


class VocSource:
    """The xml files of one tree and the lists of names that split them, or of one tree for each split."""

    format = "Pascal VOC"
    takes_images = True
    default_split = None

    def __init__(self, path: Path, trees: dict[str, _Tree]):
        self.path, self._trees, self._lists = path, trees, _lists_of_names(trees)
        self.splits = order_splits(self._lists or trees)

    def read(self, split: str, reading: Reading) -> SplitEntries:
        """Every image of the split, in the list's order, or by name where there are no lists; ids by name from 1."""
        tree = self._trees.get(split) or next(iter(self._trees.values()))
        report = ProblemLog(self._lists.get(split, tree.annotations))
        parsed = {name: parse_annotation(file) for name, file in tree.files.items()}
        names = _listed_names(parsed, report) if self._lists else list(parsed)
        roots = _readable(names, parsed, tree, report)
        images = VocImages(tree.path, tree.annotations, reading)
        files = images.find(roots, report)
        if not self._lists:
            images.report_unannotated(parsed, set(files.values()), report)
        categories = self._categories(tree, parsed)
        numbers = {name: number for number, name in enumerate(sorted(names), start=1)}
        entries = []
        for name, file in files.items():
            xml = report.within(tree.annotations / f"{name}.xml")
            entries.append(ImageEntry(numbers[name], file, xml.file, "", stated_size(roots[name]), is_numbered=True))
            add_objects(roots[name], entries[-1], categories, xml)
        return SplitEntries(categories, entries, report.problems)

    def _categories(self, tree: _Tree, parsed: Mapping[str, Element | DataError]) -> dict[Id, str]:
        others = [other for other in self._trees.values() if other != tree]
        more = [parse_annotation(file) for other in others for file in other.files.values()]
        return dict(enumerate(class_names([*parsed.values(), *more]), start=1))


def _lists_of_names(trees: Mapping[str, _Tree]) -> dict[str, Path]:
    """The lists of whole splits: VOC also has one per class and split ("cat_train.txt"), which are not splits."""
    if len(trees) > 1:
        return {}
    folder = next(iter(trees.values())).path / "ImageSets"
    files = sorted((folder / "Main").glob("*.txt")) or sorted(folder.glob("*.txt"))
    stems = {file.stem for file in files}
    whole = [file for file in files if file.stem.rpartition("_")[2] not in stems - {file.stem}]
    return {canonical_split(file.stem): file for file in whole}


def _listed_names(known: Collection[str], report: ProblemLog) -> list[str]:
    """Raises: DataError: the list cannot be read."""
    lines = read_text(report.file).splitlines()
    counts = Counter(_name_in(line, known) for line in lines if line.strip())
    for name, count in counts.items():
        if count > 1:
            report.warning(f"name {name!r}", f"listed {count} times; read once, remove the others")
    return list(counts)


def _name_in(line: str, known: Collection[str]) -> str:
    """The name of an xml on a line: all of it, or without spaces, quotes or the image's suffix, or up to a space."""
    first, stripped = line.split(maxsplit=1)[0], line.strip()
    readings = (line, stripped, stripped.strip('"'), stem_of(stripped), first, stem_of(first))
    return next((name for name in readings if name in known), first)


def _readable(
    names: Collection[str], parsed: Mapping[str, Element | DataError], tree: _Tree, report: ProblemLog
) -> dict[str, Element]:
    """The xml of each name; what is missing or broken is reported."""
    roots: dict[str, Element] = {}
    for name in names:
        root, file = parsed.get(name), tree.annotations / f"{name}.xml"
        if root is None:
            report.error(f"name {name!r}", f"left out: there is no {file}; add it or remove the name")
        elif isinstance(root, DataError):
            report.within(file).error("", f"the image is left out: {root}")
        else:
            roots[name] = root
    return roots
