"""Pascal VOC: one xml per image in `Annotations/`, images in `JPEGImages/`, splits as lists of names in
`ImageSets/Main/`.

A folder that holds xml files beside their images is read too, as one split called "all".

Convention: coordinates are taken as written. The VOC book counts pixels from 1, but most tools that write this format
today count from 0, and half of a pixel is below what anyone can draw; other readers and converters leave them too, so
that the same data in COCO form has equal boxes. `difficult` objects become crowd: neither object nor background.
Classes are all names in all xml files, sorted, whatever the split, so that every split has the same; ids count from 1.
"""

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

from hardmine.data.entries import ImageEntry, ObjectEntry, Reading, SplitEntries
from hardmine.data.paths import images_in, is_file, join_inside
from hardmine.data.problems import ProblemLog
from hardmine.data.splits import canonical_split, order_splits
from hardmine.errors import DataError

__all__ = ["VocSource", "find_voc"]

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def find_voc(path: Path) -> "VocSource | None":
    """The VOC data set of a folder, of a folder in it, or of one of its xml files; None if there is none.

    Raises: DataError: several VOC trees side by side (as in VOCdevkit).
    """
    if path.is_file():
        return VocSource(path.parent.parent if path.parent.name == "Annotations" else path.parent)
    if _is_tree(path) or any(path.glob("*.xml")):
        return VocSource(path)
    trees = [folder for folder in sorted(path.iterdir()) if _is_tree(folder)]
    if len(trees) > 1:
        raise DataError(f"{path} holds several VOC trees: {', '.join(map(str, trees))}; give the path of one")
    return VocSource(trees[0]) if trees else None


def _is_tree(folder: Path) -> bool:
    annotations = folder / "Annotations"
    return annotations.is_dir() and any(annotations.glob("*.xml"))


class VocSource:
    """The xml files of a VOC tree and the lists of names that split them."""

    format = "Pascal VOC"
    takes_images = False
    default_split = None

    def __init__(self, path: Path):
        self.path = path
        self._annotations = path / "Annotations" if _is_tree(path) else path
        self._lists = {canonical_split(file.stem): file for file in _split_lists(path / "ImageSets" / "Main")}
        self.splits = order_splits(self._lists or ["all"])

    def read(self, split: str, reading: Reading) -> SplitEntries:
        """Every image of the split, in the list's order, or by name where there are no lists; ids by name from 1."""
        report = ProblemLog(self._lists.get(split, self._annotations))
        roots = {name: _parse(file) for name, file in self._xml_files().items()}
        names = list(roots) if not self._lists else _listed_names(report)
        images = self._images_by_stem()
        if not self._lists:
            _report_unannotated(images, roots, report)
        numbers = {name: number for number, name in enumerate(sorted(names), start=1)}
        categories = dict(enumerate(sorted(_class_names(roots)), start=1))
        entries = [
            entry
            for name in names
            if (entry := self._entry(name, numbers[name], roots.get(name), images, categories, report)) is not None
        ]
        return SplitEntries(categories, entries, report.problems)

    def _xml_files(self) -> dict[str, Path]:
        return {file.stem: file for file in sorted(self._annotations.glob("*.xml"))}

    def _images_by_stem(self) -> dict[str, Path]:
        folders = (self.path / "JPEGImages", self.path / "images", self._annotations)
        return {file.stem: file for folder in reversed(folders) for file in reversed(images_in(folder))}

    def _entry(
        self,
        name: str,
        image_id: int,
        root: "Element | DataError | None",
        images: dict[str, Path],
        categories: dict[int, str],
        report: ProblemLog,
    ) -> ImageEntry | None:
        if root is None:
            report.error(
                f"name {name!r}", f"left out: there is no {self._annotations / name}.xml; add it or remove the name"
            )
            return None
        report = report.within(self._annotations / f"{name}.xml")
        try:
            if isinstance(root, DataError):
                raise root
            file = images.get(name) or self._named_image(root)
        except DataError as error:
            report.error("", f"the image is left out: {error}")
            return None
        entry = ImageEntry(image_id, file, report.file, "", _stated_size(root), is_numbered=True)
        ids = {class_name: number for number, class_name in categories.items()}
        for place, element in enumerate(root.findall("object"), start=1):
            _add_object(element, f"object {place}", entry, ids, report)
        return entry

    def _named_image(self, root: Element) -> Path:
        name = (root.findtext("filename") or "").strip()
        for folder in (self.path / "JPEGImages", self.path / "images", self._annotations):
            file = join_inside(folder, name)
            if is_file(file):
                return file
        raise DataError(f"its image {name!r} is missing, expected in {self.path / 'JPEGImages'} or beside it; add it")


def _split_lists(folder: Path) -> list[Path]:
    """The lists of whole splits: VOC also has one per class and split ("cat_train.txt"), which are not splits."""
    files = sorted(folder.glob("*.txt"))
    stems = {file.stem for file in files}
    return [file for file in files if file.stem.rpartition("_")[2] not in stems - {file.stem}]


def _listed_names(report: ProblemLog) -> list[str]:
    try:
        lines = report.file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{report.file} cannot be read ({error}); expected one image name per line") from error
    counts = Counter(line.split()[0] for line in lines if line.strip())
    for name, count in counts.items():
        if count > 1:
            report.warning(f"name {name!r}", f"listed {count} times; read once, remove the others")
    return list(counts)


def _report_unannotated(images: dict[str, Path], annotated: Collection[str], report: ProblemLog) -> None:
    for stem in sorted(set(images) - set(annotated)):
        report.within(images[stem]).error(
            "", "the image is left out: it has no xml; for a background image, write one without objects"
        )


def _parse(file: Path) -> "Element | DataError":
    """The xml's root, or what is wrong with the file: that is for the split that lists it to report."""
    try:
        root = ElementTree.parse(file).getroot()
    except DefusedXmlException:
        return DataError("the xml declares entities, which could make it grow without bound; remove the declarations")
    except (ParseError, OSError, ValueError, LookupError) as error:
        return DataError(f"not readable as xml ({error}); repair it")
    if root is None or root.tag != "annotation":
        return DataError(f"the xml's root is <{'' if root is None else root.tag}>, expected <annotation>")
    return root


def _class_names(roots: "dict[str, Element | DataError]") -> set[str]:
    parsed = [root for root in roots.values() if not isinstance(root, DataError)]
    return {name for root in parsed for element in root.findall("object") if (name := _name_of(element))}


def _name_of(element: Element) -> str:
    return (element.findtext("name") or "").strip()


def _stated_size(root: Element) -> tuple[int, int] | None:
    """Width and height; None where tools left them out or wrote 0."""
    try:
        width, height = (int(float(root.findtext(f"size/{side}") or 0)) for side in ("width", "height"))
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _add_object(element: Element, record: str, entry: ImageEntry, ids: dict[str, int], report: ProblemLog) -> None:
    name = _name_of(element)
    written = [(element.findtext(f"bndbox/{corner}") or "").strip() for corner in _CORNERS]
    try:
        x1, y1, x2, y2 = map(float, written)
    except ValueError:
        report.error(record, f"left out: bndbox is ({', '.join(written)}), expected numbers {', '.join(_CORNERS)}")
        return
    if not name:
        report.error(record, "left out: it has no name, expected the name of its class")
        return
    is_difficult = (element.findtext("difficult") or "0").strip() == "1"
    entry.objects.append(ObjectEntry(record, (x1, y1, x2, y2), ids[name], is_difficult))
