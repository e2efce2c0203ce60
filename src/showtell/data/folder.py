"""`folder:DIR`: photos in a folder, with their captions beside them.

Either photos have a file of captions each (`sidecars`), or there are tables `metadata.jsonl` or `metadata.csv` with
file_name and text (Hugging Face's imagefolder), beside the photos or at the top. Where there is such a table, files
beside single photos do not count.

Photos below a folder train/, dev/ (or val/, valid/, validation/) or test/ belong to that split (`split_folders`), at
any depth; where there are no such folders, a hash of the name decides (`rows`). Subfolders are searched to any depth.
Names of other folders mean nothing, not even Kohya's `10_dog`: photos are not repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from showtell.columns import is_known
from showtell.data.files import resolve_folder
from showtell.data.folder_files import JSON_SUFFIX, METADATA, FolderFiles, is_about_the_data, list_files
from showtell.data.omissions import NO_CAPTION, NO_PHOTO, Omissions
from showtell.data.rows import Row, relative_name, samples_from_rows
from showtell.data.sidecars import match_sidecars, sidecar_rows
from showtell.data.split_folders import FolderSplits
from showtell.data.tables import csv_rows, jsonl_rows
from showtell.errors import BadData
from showtell.image_formats import has_image_suffix
from showtell.records import Sample


def read_folder(location: str, languages: Sequence[str], omissions: Omissions | None = None) -> list[Sample]:
    """Photos without captions, captions without photos and pictures that are not read go to `omissions`.

    Raises BadData when no photo has captions, for captioned photos beside split folders, and for broken files.
    """
    root = resolve_folder(location)
    omissions = Omissions() if omissions is None else omissions
    files = list_files(root, omissions)
    rows = _metadata_rows(files, omissions) if files.metadata else _sidecar_rows(root, files, omissions)
    splits = FolderSplits()
    samples = samples_from_rows(rows, languages, root, omissions=omissions, split_of=splits)
    splits.check(root)
    if files.metadata:
        not_read = set(files.not_read)  # as with sidecars; `omissions` has them
        samples = [sample for sample in samples if sample.image not in not_read]
        if not samples:
            raise _no_images(root, files)
        named = {sample.image for sample in samples}
        tables = ", ".join(relative_name(root, table) for table in files.metadata[:3])
        texts = {text.with_suffix("") for text in files.texts}
        for photo in files.photos:
            if photo not in named:
                beside = "; beside a table, files of single photos are not read"
                has_text = photo in texts or photo.with_suffix("") in texts
                detail = f"no caption in {tables}{beside if has_text else ''}"
                omissions.add(NO_CAPTION, relative_name(root, photo), detail)
        omissions.skip("text file beside a table", len(files.texts), "text files beside a table")
    return samples


def _metadata_rows(files: FolderFiles, omissions: Omissions) -> Iterator[Row]:
    """Raises BadData for two tables in one folder."""
    seen: dict[Path, Path] = {}
    for table in files.metadata:
        if table.parent in seen:
            raise BadData(table, f"{seen[table.parent].name} beside it", "one of them; remove the other")
        seen[table.parent] = table
        read = jsonl_rows if table.suffix.lower() == ".jsonl" else csv_rows
        yield from read(table, omissions)


def _sidecar_rows(root: Path, files: FolderFiles, omissions: Omissions) -> Iterator[Row]:
    if not files.photos:
        raise _no_images(root, files)
    sidecars, unmatched = match_sidecars(files.photos, files.texts)
    _, unmatched = match_sidecars(files.not_read, unmatched)
    empty: list[Path] = []
    has_captions = False
    for photo in files.photos:
        rows = [row for sidecar in sidecars.get(photo, ()) for row in sidecar_rows(photo, sidecar)]
        has_captions = has_captions or bool(rows)
        yield from rows
        if not rows:
            text = next((sidecar.file for sidecar in sidecars.get(photo, ())), None)
            empty += [] if text is None else [text]
            detail = f"no caption: {text.name} is empty" if text else f"no caption: no {photo.stem}.txt beside it"
            omissions.add(NO_CAPTION, relative_name(root, photo), detail)
    if not has_captions:
        raise _no_captions(root, files, unmatched, empty)
    for text in unmatched:
        if is_about_the_data(text) or text.suffix.lower() == JSON_SUFFIX:
            omissions.skip("other file")
        else:
            omissions.add(NO_PHOTO, relative_name(root, text), f"captions of no photo: no image {text.stem} beside it")


def _no_images(root: Path, files: FolderFiles) -> BadData:
    of_others = f" but {len(files.not_read)} of a format that is not read" if files.not_read else ""
    return BadData(root, f"no images{of_others}", f"files such as dog.jpg with dog.txt, or {' or '.join(METADATA)}")


def _no_captions(root: Path, files: FolderFiles, unmatched: Sequence[Path], empty: Sequence[Path]) -> BadData:
    """Why no photo of the folder has captions, and what to do."""
    if empty:
        return BadData(empty[0], "an empty caption", "one caption per line", line=1)
    photo = files.photos[0]
    others = f", nor for {len(files.photos) - 1} other photos" if len(files.photos) > 1 else ""
    expected = f"{photo.stem}.txt beside it, one caption per line, or a {METADATA[0]}"
    table = next((file for file in [*files.tables, *unmatched[:10]] if _may_be_a_table(file)), None)
    if table is not None:
        kind = {".jsonl": "jsonl", ".parquet": "parquet"}.get(table.suffix.lower(), "csv")
        expected += f"; if {relative_name(root, table)} holds the captions of all, give {kind}:{table}"
    return BadData(photo, f"no captions{others}", expected)


def _may_be_a_table(file: Path) -> bool:
    """Whether it may hold the captions of all photos: by its suffix, or by the first line, with names of columns, or
    with a photo and a caption."""
    if file.suffix.lower() != ".txt":
        return file.suffix.lower() != JSON_SUFFIX
    with file.open(encoding="utf-8", errors="replace") as lines:
        cells = re.split(r"[,;|\t]", lines.readline(500).strip("\ufeff \n"))
    return any(map(is_known, cells)) or (len(cells) > 1 and has_image_suffix(cells[0]))
