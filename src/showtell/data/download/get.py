"""`showtell data get`: from an empty folder to one that a reader reads; again, where it was interrupted.

For each archive whose contents are not there: download to `NAME.part`, check size and checksum, unpack, remove the
archive. Archives that only a form gives are looked for where the user has put them, and stay. What is there is counted,
not downloaded again; a folder with another number of photos is refused, since it may be the user's own.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from showtell.backoff import Backoff
from showtell.data.download.catalogue import GIGABYTE, MEGABYTE, Archive, Content, DataSet
from showtell.data.download.record import NAME, Record
from showtell.data.download.transfer import Transfer
from showtell.data.download.unpack import check_place, inspect, unpack
from showtell.disk_space import free_bytes
from showtell.errors import OUTPUT_ERRNOS, BadConfig, BadData, OutputError
from showtell.files import beside
from showtell.locks import Locked, locked
from showtell.progress import ProgressReporter

_BLOCK: Final = 1 << 20
_TRIES: Final = 2
"""Downloads of an archive that comes with another checksum."""


@dataclass(frozen=True)
class Step:
    """An archive, and what of it is not there yet: nothing, where only the archive is still to be removed."""

    archive: Archive
    contents: tuple[Content, ...]
    file: Path | None
    """The whole archive, where it is in the folder already."""


class Download:
    """One data set into one folder."""

    def __init__(
        self,
        data_set: DataSet,
        folder: Path,
        reporter: ProgressReporter,
        backoff: Backoff | None = None,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        """Raises BadConfig when `folder` is a file."""
        if folder.exists() and not folder.is_dir():
            raise BadConfig(f"{folder}: is a file; expected a folder, which may not exist yet")
        self.data_set, self.folder, self._reporter = data_set, folder, reporter
        self._backoff, self._free = backoff or Backoff(), free
        self._record = Record(folder)
        self._transfer: Transfer | None = None
        self._unpacking: Path | None = None

    def steps(self) -> list[Step]:
        """What is to be done; empty when everything is there.

        Raises BadData for a folder with another number of photos, and where an archive is missing that only the form
        gives.
        """
        steps = []
        for archive in self.data_set.archives:
            contents = tuple(content for content in archive.contents if not self._is_there(content))
            for content in contents:
                check_place(self.folder, content)
            file = self._archive_file(archive)
            if not contents and not (file is not None and self._is_downloaded(archive)):
                continue
            if archive.url is not None or file is not None:
                steps.append(Step(archive, contents, file))
            elif not archive.is_optional:
                raise BadData(self.folder, f"no {archive.name}, nor {contents[0].path}", self.how_to_request())
        return steps

    def missing(self) -> bool:
        """Whether an optional archive, which only the form gives, is not there."""
        archives = [archive for archive in self.data_set.archives if archive.is_optional]
        return any(inspect(self.folder, content) is None for archive in archives for content in archive.contents)

    def how_to_request(self) -> str:
        names = " and ".join(archive.name for archive in self.data_set.archives if archive.url is None)
        return (
            f"{names} in {self.folder}: the authors send it to those who fill in the form {self.data_set.form} "
            f"(their page: {self.data_set.page}); put it there and run the same command again"
        )

    def run(self) -> None:
        """Raises BadData, StorageUnreachable and OutputError; after each of them the same command goes on."""
        with self._folder_locked():
            steps = self.steps()  # anew: another run may have ended meanwhile
            self._check_space(steps)
            for step in steps:
                file = step.file or self._fetch(step.archive)
                self._unpack(step, file)

    def where(self) -> str | None:
        """What an interruption leaves, in one line."""
        if self._unpacking is not None:
            return f"{self._unpacking} is kept; the same command unpacks it"
        return self._transfer.kept() if self._transfer is not None and self._transfer.done else None

    @contextlib.contextmanager
    def _folder_locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / f"{NAME}.lock"):
                self._record = Record(self.folder)
                yield
        except Locked as error:
            raise BadConfig(f"{self.folder}: another run downloads to it; wait until it ends") from error
        except OSError as error:
            if error.errno in OUTPUT_ERRNOS:
                raise OutputError.of(self.folder, error) from error
            raise

    def _is_there(self, content: Content) -> bool:
        found = inspect(self.folder, content)
        if found is None:
            return False
        if content.photos is not None and found.files != content.photos:
            expected = f"{content.photos:,}, or no such folder; move it away, or add what is missing"
            raise BadData(self.folder / content.path, f"{found.files:,} photos", expected)
        recorded = self._record.number(content.path, "bytes")
        if recorded not in (None, found.size):
            expected = f"{recorded:,}, as were unpacked; move it away and run the same command again"
            raise BadData(self.folder / content.path, f"{found.size:,} bytes", expected)
        return True

    def _archive_file(self, archive: Archive) -> Path | None:
        names = filter(None, (archive.name, archive.other_name))
        return next((self.folder / name for name in names if (self.folder / name).is_file()), None)

    def _check_space(self, steps: Sequence[Step]) -> None:
        """Raises OutputError unless downloads and unpacked files fit, with what is removed in between."""
        used = needed = 0
        for step in steps:
            if not step.contents:
                continue  # gives room back
            size = step.archive.size or (step.file.stat().st_size if step.file else step.archive.max_size)
            if step.file is None:
                part = self._part(step.archive)
                used += size - (part.stat().st_size if part.exists() else 0)
            # Photos hardly shrink in an archive, texts do.
            has_photos = any(content.photos is not None for content in step.contents)
            used += min(step.archive.max_unpacked, size + size // 10) if has_photos else step.archive.max_unpacked
            needed = max(needed, used)
            used -= size if step.file is None or self._is_downloaded(step.archive) else 0
        if (free := self._free(self.folder)) < needed:
            raise OutputError(
                f"{self.folder}: {needed / GIGABYTE:.1f} GB are needed, and {free / GIGABYTE:.1f} GB are free; make "
                "room or give another folder"
            )

    def _is_downloaded(self, archive: Archive) -> bool:
        """Whether the archive that is there was downloaded by an earlier run, and is not the user's own."""
        return archive.url is not None and self._record.number(archive.name, "downloaded") == 1

    def _part(self, archive: Archive) -> Path:
        return beside(self.folder / archive.name, ".part")

    def _fetch(self, archive: Archive) -> Path:
        """The checked archive."""
        for attempt in range(_TRIES):
            part = self._receive(archive)
            digest = self._sha256(part)
            if (problem := self._problem(archive, part, digest)) is None:
                break
            part.unlink()
            if attempt + 1 == _TRIES:
                raise problem
            self._reporter.say(f"{problem}; trying again")
        if archive.sha256 is None:
            size = part.stat().st_size
            self._reporter.say(
                f"{archive.name}: {size:,} bytes, SHA-256 {digest}; nobody publishes it, and it is recorded in "
                f"{self._record.path}"
            )
        self._record.note(archive.name, sha256=digest, size=part.stat().st_size, downloaded=1)
        file = part.replace(self.folder / archive.name)
        self._transfer = None
        return file

    def _receive(self, archive: Archive) -> Path:
        assert archive.url is not None  # others are put there by hand
        part = self._part(archive)
        if not part.exists():
            self._record.note(archive.name, url=archive.url, validator="")
        expected = archive.size or archive.max_size
        done = part.stat().st_size if part.exists() else 0
        with self._reporter.stage(f"{archive.name} (MB)", expected // MEGABYTE, done // MEGABYTE) as advance:
            shown = done // MEGABYTE

            def progress(count: int) -> None:
                nonlocal shown
                shown, before = count // MEGABYTE, shown
                advance(shown - before)

            self._transfer = Transfer(
                archive.url,
                part,
                archive.size,
                archive.max_size,
                self._record.text(archive.name, "validator"),
                lambda validator: self._record.note(archive.name, validator=validator),
                progress,
                self._reporter.say,
                self._backoff,
                can_be_checked=archive.sha256 is not None,
            )
            try:
                self._transfer.fetch()
            finally:
                self._transfer.close()
        return part

    def _sha256(self, file: Path) -> str:
        digest, size = hashlib.sha256(), file.stat().st_size
        with self._reporter.stage(f"checking {file.name} (MB)", size // MEGABYTE) as advance, file.open("rb") as stream:
            done = 0
            while block := stream.read(_BLOCK):
                digest.update(block)
                done, before = done + len(block), done
                advance(done // MEGABYTE - before // MEGABYTE)
        return digest.hexdigest()

    def _problem(self, archive: Archive, file: Path, digest: str) -> BadData | None:
        expected = archive.sha256 or self._record.text(archive.name, "sha256")
        if not expected or expected == digest:
            return None
        source = "" if archive.sha256 else f", as at the first download; to take it, remove {self._record.path}"
        return BadData(file, f"SHA-256 {digest}", f"{expected}{source}")

    def _unpack(self, step: Step, file: Path) -> None:
        archive, is_downloaded = step.archive, self._is_downloaded(step.archive)
        if step.contents:
            if step.file is not None and archive.sha256 is not None and (problem := self._known_problem(archive, file)):
                raise problem
            self._unpacking = file
            total = sum(content.photos or 1 for content in step.contents)
            try:
                with self._reporter.stage(f"unpacking {archive.name} (files)", total) as advance:
                    found = unpack(file, archive, step.contents, self.folder, advance)
            except BadData:
                if is_downloaded and archive.sha256 is None:
                    file.unlink()  # a page of some proxy, perhaps; the next call downloads it again
                    self._record.note(archive.name, sha256="", downloaded=0)
                raise
            for path, unpacked in found.items():
                self._record.note(path, files=unpacked.files, bytes=unpacked.size)
            self._unpacking = None
        if is_downloaded:
            file.unlink()
            self._record.note(archive.name, downloaded=0)

    def _known_problem(self, archive: Archive, file: Path) -> BadData | None:
        """What is wrong with an archive that was in the folder, of which a checksum is published."""
        if archive.size not in (None, file.stat().st_size):
            return BadData(file, f"{file.stat().st_size:,} bytes", f"{archive.size:,}; remove it, and it is downloaded")
        return self._problem(archive, file, self._sha256(file))
