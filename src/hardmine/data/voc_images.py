"""The image of each Pascal VOC xml: of the same name, else that which the xml names, else by the last parts of it."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from xml.etree.ElementTree import Element

from hardmine.data.entries import Reading
from hardmine.data.paths import FilesBelow, images_below, is_file, join_inside, parts_of
from hardmine.data.problems import ProblemLog
from hardmine.data.voc_xml import stated_size
from hardmine.errors import DataError

__all__ = ["VocImages"]

_FOLDERS = ("jpegimages", "images", "imgs", "img", "image", "data")


class VocImages:
    """Finds images in the folders that VOC trees have for them, beside the xml files, or in a folder that was given."""

    def __init__(self, tree: Path, annotations: Path, reading: Reading):
        self._annotations, self._reading = annotations, reading
        inner = [folder for folder in sorted(tree.iterdir()) if folder.name.lower() in _FOLDERS and folder.is_dir()]
        self._folders = [reading.images] if reading.images else [*inner, annotations]
        self._below = FilesBelow(reading.images or tree)

    @cached_property
    def by_name(self) -> dict[str, list[Path]]:
        """The images by their path in their folder, without the suffix."""
        listed: defaultdict[str, list[Path]] = defaultdict(list)
        for folder in self._folders:
            for file in images_below(folder):
                name = file.relative_to(folder).with_suffix("").as_posix()
                if file not in listed[name]:
                    listed[name].append(file)
        return listed

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        listed: defaultdict[str, list[Path]] = defaultdict(list)
        for files in self.by_name.values():
            for file in files:
                listed[file.stem].append(file)
        return listed

    def find(self, roots: Mapping[str, Element], report: ProblemLog) -> dict[str, Path]:
        """The image of each xml, by the xml's name; what has none, or that of another, is reported and left out."""
        found: dict[str, Path] = {}
        for name, root in roots.items():
            xml = report.within(self._annotations / f"{name}.xml")
            try:
                found[name] = self._same_name(name, root, xml) or self._named(name, root) or self._guess(name, root)
            except DataError as error:
                xml.error("", f"the image is left out: {error}")
        self._leave_out_shared(found, report)
        self._report_guesses(found, roots, report)
        return found

    def _same_name(self, name: str, root: Element, report: ProblemLog) -> Path | None:
        files = self.by_name.get(name, [])
        if len(files) < 2:
            return files[0] if files else None
        file = next((file for file in files if file.name == _filename(root)), files[0])
        report.warning("", f"its image may be {', '.join(map(str, files))}; '{file}' is taken, remove the others")
        return file

    def _named(self, name: str, root: Element) -> Path | None:
        """The file that the xml names, in one of the folders."""
        filename = _filename(root)
        for folder in self._folders if filename and ".." not in parts_of(filename) else ():
            for file in (folder / Path(name).parent / filename, folder / filename):
                if is_file(file) and folder in file.parents:
                    return file
        return None

    def _guess(self, name: str, root: Element) -> Path:
        """The file with the last parts of what the xml names, or the only one that is called as the xml.

        Raises: DataError: there is none, or several may be meant.
        """
        filename = _filename(root)
        written = (root.findtext("path"), f"{root.findtext('folder') or ''}/{filename}")
        for text in written if filename and ".." not in parts_of(filename) else ():
            file = self._below.find(text.strip()) if text else None
            if file is not None:
                return file
        same_stem = self._by_stem.get(Path(name).name, [])
        return same_stem[0] if len(same_stem) == 1 else self._absent(name, filename, root)

    def _absent(self, name: str, filename: str, root: Element) -> Path:
        """The place where the image would be. Raises: DataError: it is needed."""
        file = join_inside(self._folders[0], filename or f"{name}.jpg")
        if self._reading.need_pictures or stated_size(root) is None:
            looked = ", ".join(map(str, self._folders))
            raise DataError(
                f"its image {file.name!r} is missing, expected in {looked} or below; add it, or give the folder of the "
                "images (--images)"
            )
        return file

    def _leave_out_shared(self, found: dict[str, Path], report: ProblemLog) -> None:
        """An image that several xml files name is that of the one with its name, else of none."""
        counts = Counter(found.values())
        for name, file in list(found.items()):
            if counts[file] > 1 and file not in self.by_name.get(name, []):
                del found[name]
                report.within(self._annotations / f"{name}.xml").error(
                    "", f"left out: the image that it names, '{file}', is also that of another xml; give each its own"
                )

    def _report_guesses(self, found: Mapping[str, Path], roots: Mapping[str, Element], report: ProblemLog) -> None:
        guessed = [
            file
            for name, file in found.items()
            if is_file(file) and file not in self.by_name.get(name, []) and file != self._named(name, roots[name])
        ]
        if guessed:
            report.warning(
                "", f"{len(guessed)} images were found by the last parts of their names, the first is '{guessed[0]}'"
            )

    def report_unannotated(self, names: Collection[str], used: Collection[Path], report: ProblemLog) -> None:
        """Images that neither have an xml of their name nor are named by one; a folder that was given may have more."""
        alone = {} if self._reading.images else self.by_name
        for file in sorted(file for name, files in alone.items() if name not in names for file in files):
            if file not in used:
                report.within(file).error(
                    "", "the image is left out: it has no xml; for a background image, write one without objects"
                )


def _filename(root: Element) -> str:
    parts = parts_of((root.findtext("filename") or "").strip())
    return "/".join(parts) if not parts or ":" not in parts[0] else parts[-1]
