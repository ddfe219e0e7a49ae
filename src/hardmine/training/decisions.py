"""What people decided of suspect labels, on the page of `hardmine report`: which suspicions are right.

    {"format": 1, "mined": "/data/mined",
     "decisions": [{"row": 17, "image_id": 4, "file_name": "a/b.jpg", "kind": "spurious", "decision": "accept"}, ...]}

`row` counts the rows of `suspects.parquet` in the mined folder, of masks those of `regions.parquet`, from 0; image,
file name and kind repeat what stands there, so that decisions of other suspects are found out. "accept": the suspicion
is right, the label is wrong.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from hardmine.core.pixels import ARROW
from hardmine.errors import DataError
from hardmine.files.reading import check_regular, parse_json, read_bytes, read_text

__all__ = ["DECISIONS_SUFFIX", "read_decisions"]

DECISIONS_SUFFIX = ".json"
FORMAT = 1
ACCEPT, REJECT = "accept", "reject"
FIELDS: Mapping[str, type] = {"row": int, "image_id": int, "file_name": str, "kind": str, "decision": str}
ANEW = "give the mined folder that was decided on, or decide anew on a page of this one (hardmine report)"


def read_decisions(file: Path | str, mined: Path | str) -> dict[int, bool]:
    """Row of the table of suspects -> whether the suspicion was accepted; what nobody decided is not in it.

    Raises: DataError: the file cannot be read, is of another mined folder, or a record in it is not of the suspect that
        it names, or decides one again.
    """
    file, mined = Path(file), Path(mined)
    try:
        document = parse_json(read_text(file))
    except (ValueError, RecursionError) as error:  # a DataError, which says all, among them
        raise (
            error if isinstance(error, DataError) else _wrong(file, f"no JSON: {error}", "download it again")
        ) from error
    if not isinstance(document, dict) or type(document.get("format")) is not int or document["format"] != FORMAT:
        found = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise _wrong(file, f"format is {found!r}, expected {FORMAT}", "give what the page of hardmine report saved")
    _refuse_other_folder(file, document.get("mined"), mined)
    records = document.get("decisions")
    if not isinstance(records, list):
        raise _wrong(file, f"decisions is {type(records).__name__}, expected a list", "download it again")
    suspects = _suspects(mined)
    decided: dict[int, bool] = {}
    for number, record in enumerate(records):
        row, is_accepted = _decision(record, suspects, _table_in(mined).name, f"{file}: decision {number}")
        if row in decided:
            raise _wrong(file, f"decision {number}: row {row} was decided before", "keep one of the two")
        decided[row] = is_accepted
    return decided


def _wrong(file: Path | str, what: str, remedy: str) -> DataError:
    return DataError(f"{file}: {what}; {remedy}")


def _refuse_other_folder(file: Path, decided_on: Any, mined: Path) -> None:
    if not isinstance(decided_on, str):
        raise _wrong(file, f"mined is {decided_on!r}, expected the path of a mined folder", "download it again")
    there, here = Path(decided_on), mined.absolute()
    if not here.exists():
        raise _wrong(mined, "there is no such folder", f"the decisions in {file} are of {decided_on}")
    if there != here and _is_another(there, here):
        raise _wrong(file, f"the decisions are of the mined folder {decided_on}, got {mined}", ANEW)


def _is_another(there: Path, here: Path) -> bool:
    """Whether the suspects are others; by the name of the folder where those that were decided on are gone."""
    one, other = (_table_in(folder) for folder in (there, here))
    try:
        if one.is_file() and other.is_file():
            return not one.samefile(other) and read_bytes(one) != read_bytes(other)
    except (OSError, ValueError):
        pass
    return there.name != here.name


def _table_in(mined: Path) -> Path:
    """What was decided on: suspect regions of masks, or suspect labels of boxes."""
    regions = mined / "regions.parquet"
    return regions if regions.is_file() else mined / "suspects.parquet"


def _suspects(mined: Path) -> list[dict[str, Any]]:
    """image_id, file_name and kind of each suspect, in their order; of a region what it is labelled and predicted."""
    suspects, tables = _table_in(mined), []
    kind = ("label", "predicted") if suspects.name == "regions.parquet" else ("kind",)
    for file, columns in ((suspects, ("image_id", *kind)), (mined / "images.parquet", ("image_id", "file_name"))):
        try:
            check_regular(file)
            tables.append(pl.read_parquet(file, columns=list(columns)))
        except (OSError, DataError, pl.exceptions.PolarsError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{file}: cannot be read ({reason}); give the folder that `hardmine mine` wrote") from error
    suspects, images = tables
    suspects = suspects.select("image_id", pl.concat_str(*kind, separator=ARROW).alias("kind"))
    joined = suspects.join(images.unique("image_id"), on="image_id", how="left", maintain_order="left")
    return joined.with_columns(pl.col("file_name").cast(pl.String).fill_null("")).to_dicts()


def _decision(record: Any, suspects: list[dict[str, Any]], table: str, where: str) -> tuple[int, bool]:
    """The row and whether it was accepted, once the record is known to be of that suspect."""
    if not isinstance(record, dict):
        raise _wrong(where, f"got {type(record).__name__}, expected an object", f"it has {', '.join(FIELDS)}")
    record = {**record, "file_name": record.get("file_name") or ""} if "file_name" in record else record
    for name, kind in FIELDS.items():
        if type(record.get(name)) is not kind:
            raise _wrong(where, f"{name} is {record.get(name)!r}, expected {kind.__name__}", "download the file again")
    row = record["row"]
    if not 0 <= row < len(suspects):
        raise _wrong(where, f"row is {row}, but there are {len(suspects)} suspects, counted from 0", ANEW)
    for name, expected in suspects[row].items():
        if record[name] != expected:
            raise _wrong(where, f"{name} of row {row} is {expected!r} in {table}, got {record[name]!r}", ANEW)
    if record["decision"] not in (ACCEPT, REJECT):
        raise _wrong(where, f"decision is {record['decision']!r}", f"expected {ACCEPT} or {REJECT}")
    return row, record["decision"] == ACCEPT
