"""Where a YOLO data set says that its images are, and where they are: folders, lists of files, label files.

Nothing outside the folder of `data.yaml` is read. What tools write is understood: paths relative to that folder or to
`path:`, absolute ones that lead into it, `path:` as its own name (also "../datasets/NAME"), Roboflow's
"../train/images" for what lies beside the yaml, darknet's and CVAT's "data/..." for the folder itself. A path of
another machine is taken for what agrees with its last parts, if that is clear, and reported.
"""

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hardmine.data.paths import (
    FilesBelow,
    absolute,
    files_below,
    images_below,
    is_file,
    num_last_equal,
    parts_of,
    path_inside,
)
from hardmine.data.problems import ProblemLog
from hardmine.data.yolo_config import YoloConfig
from hardmine.data.yolo_labels import has_labels
from hardmine.errors import DataError
from hardmine.files.reading import read_text

__all__ = ["LabelFiles", "Place", "YoloPlaces"]

_REFUSED = (
    "{} is refused: expected a path inside the data set's folder, without '..'; correct it, or move the yaml to the "
    "top of the data set"
)


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of images or a list of them, which need not exist. written: what was only guessed to mean it, or ""."""

    path: Path
    written: str = ""


class YoloPlaces:
    """The places of a data set's splits. top: the folder that nothing leads out of."""

    def __init__(self, config: YoloConfig):
        self.top = config.folder
        self._config = config
        self._files = FilesBelow(self.top)

    def find(self, split: str, report: ProblemLog) -> list[Path]:
        """The folders and lists of a split that are there; the others are reported."""
        found = []
        for text in self._config.places[split]:
            try:
                place = self._located(text)
            except DataError as error:
                report.error("", f"split {split!r}: {error}")
                continue
            if place.written:
                report.warning("", f"{place.written!r} is not here; '{place.path}' is taken for it")
            if place.path.exists():
                found.append(place.path)
            else:
                report.within(place.path).error(
                    "", "left out: there is no such folder; expected the split's images there"
                )
        return found

    def folders(self, split: str) -> list[Path]:
        """Those of a split that are there, without a word about the others."""
        return [path for path in self.find(split, ProblemLog(self._config.file)) if path.is_dir()]

    def _located(self, text: str) -> Place:
        place = self._where(text)
        same = [other for other in self._texts if other != text and self._where_or_none(other) == place.path]
        if place.written and same:
            raise DataError(
                f"{text!r} and {same[0]!r} may both mean '{place.path}'; write paths relative to {self.top}"
            )
        return place

    @cached_property
    def _texts(self) -> list[str]:
        return list(dict.fromkeys(text for texts in self._config.places.values() for text in texts))

    def _where_or_none(self, text: str) -> Path | None:
        try:
            return self._where(text).path
        except DataError:
            return None

    def _where(self, text: str) -> Place:
        """Raises: DataError: it leads out of the folder, or may mean several places."""
        exact, path = self._exact(text), self._config.path
        if exact is not None and self._root is not None:
            return Place(exact)
        self._refuse_outside(path if self._root is None else text)
        written = (Path(path) / text.replace("\\", "/")).as_posix()
        found = exact if exact is not None and exact.exists() else self._by_last_parts(written)
        if found is None and exact is None:
            raise DataError(_REFUSED.format(repr(text)))
        return Place(exact or self.top) if found is None else Place(found, written)

    def _refuse_outside(self, written: str) -> None:
        """What is there, but outside, may be meant, and is not read; what is not is a path of another machine."""
        if (self.top / written).exists():
            raise DataError(_REFUSED.format(repr(written)))

    @cached_property
    def _root(self) -> Path | None:
        """What `path:` means; None: no place in this folder, but that of another machine."""
        path = self._config.path
        inside = path_inside(self.top, self.top, path)
        if inside is not None and inside.exists():
            return inside
        is_own_name = parts_of(path)[-1:] == (self.top.resolve().name,)
        return self.top if is_own_name and not (self.top / path).exists() else None

    def _exact(self, text: str) -> Path | None:
        """What tools mean by the text, whether it is there or not; None if that is outside."""
        root, written = self._root or self.top, text.replace("\\", "/")
        tail = written.rpartition("../")[2] if written.startswith("../") else written
        names = (written, tail, written.removeprefix("./").removeprefix("data/"))
        places = [path_inside(self.top, root, name) for name in names]
        return next((place for place in places if place is not None and place.exists()), places[0])

    def _by_last_parts(self, written: str) -> Path | None:
        """The folder of images or list below the top whose last parts are those of the path, as many as any has.

        Raises: DataError: several have as many.
        """
        parts, above = parts_of(written.rpartition("../")[2]), absolute(self.top).parts
        agreed = {place: num_last_equal(parts, (*above, *place.relative_to(self.top).parts)) for place in self._folders}
        most = max(agreed.values(), default=0)
        best = [path for path, number in agreed.items() if number == most > 0]
        if len(best) > 1:
            raise DataError(f"{written!r} may mean '{best[0]}' or '{best[1]}'; write paths relative to {self.top}")
        return best[0] if best else None

    @cached_property
    def _folders(self) -> list[Path]:
        """What a place may be: every folder with images in it or below it, and every text that may be a list."""
        walk = (
            (Path(top), name, name in files) for top, folders, files in os.walk(self.top) for name in (*folders, *files)
        )
        named = ((top / name, is_file) for top, name, is_file in walk if not is_file or name.endswith(".txt"))
        return [place for place, is_file in named if is_file or next(images_below(place), None) is not None]

    def images(self, place: Path, report: ProblemLog) -> list[Path]:
        """Every image below a folder, or those of a list that are there."""
        return self._listed(report.within(place)) if place.is_file() else list(images_below(place))

    def _listed(self, report: ProblemLog) -> list[Path]:
        try:
            lines = read_text(report.file).splitlines()
        except DataError as error:
            report.error("", str(error).removeprefix(f"{report.file}: "))
            return []
        named = {f"line {number}": line.strip() for number, line in enumerate(lines, start=1) if line.strip()}
        exact = {record: self._listed_exactly(name, report.file.parent) for record, name in named.items()}
        guessed = self._guessed({record: name for record, name in named.items() if exact[record] is None}, report)
        files = [file for record in named if (file := exact[record] or guessed.get(record)) is not None]
        repeated = [file for file, count in Counter(files).items() if count > 1]
        if repeated:
            report.warning(
                "", f"{len(repeated)} images are listed more than once, the first is '{repeated[0]}'; read once"
            )
        return files

    def _listed_exactly(self, name: str, folder: Path) -> Path | None:
        names = (name, name.removeprefix("data/"))
        roots = dict.fromkeys((folder, self.top, self._root or self.top))
        files = (path_inside(self.top, root, name) for root in roots for name in names)
        return next((file for file in files if file is not None and is_file(file)), None)

    def _guessed(self, names: dict[str, str], report: ProblemLog) -> dict[str, Path]:
        """The images that were found by the last parts of their names, where each is the only one of its file."""
        found = {record: file for record, name in names.items() if (file := self._found(record, name, report))}
        counts = Counter(found.values())
        for record in [record for record, file in found.items() if counts[file] > 1]:
            report.error(record, f"the image is left out: {names[record]!r} and another may both be '{found[record]}'")
        sure = {record: file for record, file in found.items() if counts[file] == 1}
        if sure:
            first = next(iter(sure.values()))
            report.warning(
                "", f"{len(sure)} images were found by the last parts of their names, the first is '{first}'"
            )
        return sure

    def _found(self, record: str, name: str, report: ProblemLog) -> Path | None:
        try:
            file = self._files.find(name)
        except DataError as error:
            report.error(record, f"the image is left out: {error}")
            return None
        if file is None:
            leads_out = path_inside(self.top, report.file.parent, name) is None
            reason = "is refused, for it leads out of the data set's folder" if leads_out else "is missing"
            report.error(
                record, f"the image is left out: {name!r} {reason}; add it below {self.top}, or remove the line"
            )
        return file


class LabelFiles:
    """Which file holds the labels of an image: an `images` of its path is `labels`, or else it lies beside it."""

    def __init__(self, top: Path):
        self._top = top

    def of(self, image: Path) -> Path:
        """The label file of an image, which need not exist."""
        mirrored, beside = (
            [folder / f"{image.stem}.txt" for folder in self._mirrors(image.parent)],
            image.with_suffix(".txt"),
        )
        found = next((file for file in mirrored if is_file(file)), None)
        if found is None and is_file(beside) and (not beside.stat().st_size or has_labels(beside)):
            return beside
        return found or mirrored[0]

    def folder_of(self, images: Path) -> Path:
        """Where the labels of a folder of images are; without `images` in its path below the top, beside them."""
        return self._mirrors(images)[0]

    def _mirrors(self, images: Path) -> list[Path]:
        """Where they may be. Tools look at the last `images` of a path; who mirrors a whole tree changes the first."""
        parts = images.relative_to(self._top).parts
        places = [place for place, part in enumerate(parts) if part == "images"]
        mirrors = [Path(self._top, *parts[:place], "labels", *parts[place + 1 :]) for place in reversed(places)]
        return mirrors or [Path(self._top, *parts)]

    def elsewhere(self, images: Collection[Path], others: Collection[Path]) -> Path | None:
        """A folder below the top, but not in those of others, with label files for some of the images."""
        stems = {image.stem for image in images}
        texts = (file for file in files_below(self._top, (".txt",)) if file.stem in stems)
        free = (file for file in texts if not any(other in file.parents for other in others))
        return next((file.parent for file in free if has_labels(file)), None)
