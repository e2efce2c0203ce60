"""Matches candidate captions to the references of the same image, and reports images that have only one of them.

The name of a candidate is looked up among the primary names of the references, then among their other names, then again
without its leading folders, then by its file name alone, in any case and Unicode form, and last without the suffix of
an image. A file name or other non-primary name that several images share matches none of them: a guess would be scored
like a match.

Nothing is left out silently: an error names all kinds of problems at once, unless the caller leaves out the images of
a kind or scores missing captions as empty.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from showtell.config import nearest
from showtell.data.candidates import Candidate
from showtell.data.omissions import first_names
from showtell.data.photo_finder import comparable_name, plain_name
from showtell.data.references import References
from showtell.errors import BadConfig, BadData
from showtell.image_formats import has_image_suffix

PROBLEMS: Final = ("missing", "unknown", "duplicate", "empty", "unreferenced")
"""Kinds: no candidate; a candidate of no image; several candidates; an empty candidate; no references."""
SCORABLE_AS_EMPTY: Final = ("missing", "empty")
"""Problems of images that can be scored with an empty caption."""
AMBIGUOUS: Final = -1
"""In place of an image's index, for a name that several images share."""


@dataclass(frozen=True)
class Matches:
    """Candidates and references by the primary name of the image, in the order of the references."""

    captions: dict[str, str]
    alternatives: dict[str, tuple[str, ...]]
    """All captions of an image, best first: the one in `captions`, then others."""
    references: dict[str, tuple[str, ...]]
    """Without blank ones."""
    left_out: dict[str, list[str]]
    """Image names by kind of problem; only kinds that occurred."""
    scored_empty: list[str]


def match_captions(
    candidates: Sequence[Candidate],
    references: Sequence[References],
    leave_out: Collection[str] = (),
    score_empty: bool = False,
    file_names: tuple[str, str] = ("the candidates", "the references"),
) -> Matches:
    """`file_names` are those of candidates and references, for messages. `leave_out` goes before `score_empty`.

    Raises BadData with every kind of problem that is not left out, and when nothing is left; BadConfig for an unknown
    kind in `leave_out`.
    """
    for kind in leave_out:
        if kind not in PROBLEMS:
            raise BadConfig(f"--leave-out {kind}: no kind of problem{nearest(kind, PROBLEMS)}")
    by_image, unknown, ambiguous = _assign(candidates, references)
    problems: dict[str, list[str]] = {kind: [] for kind in PROBLEMS}
    problems["unknown"] = unknown
    matches = Matches({}, {}, {}, {}, [])
    for index, image in enumerate(references):
        name, captions = image.names[0], tuple(caption for caption in image.captions if caption.strip())
        rows = by_image.get(index, [])
        problem = _problem(rows, captions)
        if problem in SCORABLE_AS_EMPTY and score_empty and problem not in leave_out:
            matches.scored_empty.append(name)
        elif problem is not None:
            problems[problem].append(name)
            continue
        best, *others = (rows[0].captions if rows else ()) or ("",)
        matches.captions[name] = best if best.strip() else ""
        matches.alternatives[name] = (matches.captions[name], *others)
        matches.references[name] = captions
    matches.left_out.update({kind: names for kind, names in problems.items() if names})
    refused = {kind: names for kind, names in matches.left_out.items() if kind not in leave_out}
    if refused:
        expected = "one caption for each image that has references; correct the files, or use the options named"
        raise BadData(file_names[0], _report(refused, ambiguous, file_names[1]), expected)
    if not matches.captions:
        counts = ", ".join(f"{kind} {len(names)}" for kind, names in matches.left_out.items()) or "both files are empty"
        raise BadData(file_names[0], f"nothing left to score ({counts})", f"a caption of an image of {file_names[1]}")
    return matches


def _assign(
    candidates: Sequence[Candidate], references: Sequence[References]
) -> tuple[dict[int, list[Candidate]], list[str], list[str]]:
    """Candidates by the index of their image in `references`; names without a match; the ambiguous ones of these."""
    images = _ImageIndex(references)
    by_image: dict[int, list[Candidate]] = {}
    unknown: dict[str, bool] = {}
    for candidate in candidates:
        index = images.find(candidate.name)
        if index is None or index == AMBIGUOUS:
            unknown[candidate.name] = index == AMBIGUOUS
        else:
            by_image.setdefault(index, []).append(candidate)
    return by_image, list(unknown), [name for name, is_ambiguous in unknown.items() if is_ambiguous]


def _problem(rows: Sequence[Candidate], captions: Sequence[str]) -> str | None:
    """The kind of problem of an image, at most one: without references its captions do not matter."""
    if not captions:
        return "unreferenced"
    if not rows:
        return "missing"
    if len(rows) > 1:
        return "duplicate"
    return None if rows[0].captions and rows[0].captions[0].strip() else "empty"


class _ImageIndex:
    """Finds the index of an image in the references by the name that a candidate gives."""

    def __init__(self, references: Sequence[References]) -> None:
        self._primary = {image.names[0]: index for index, image in enumerate(references)}
        if len(self._primary) < len(references):
            raise ValueError("two images have one primary name")
        self._other_names: dict[str, int] = {}
        self._looser: tuple[dict[str, int], ...] = tuple({} for _ in LOOSER_NAMES)
        for index, image in enumerate(references):
            for name in image.names:
                _add_name(self._other_names, name, index)
                for indices, looser_name in zip(self._looser, LOOSER_NAMES, strict=True):
                    _add_name(indices, looser_name(name), index)

    def find(self, name: str) -> int | None:
        """None when there is no such image, AMBIGUOUS when there are several."""
        for path in (name, *_path_suffixes(name)):
            index = self._primary.get(path, self._other_names.get(path))
            if index is not None:
                return index
        for indices, looser_name in zip(self._looser, LOOSER_NAMES, strict=True):
            if (index := indices.get(looser_name(name))) is not None:
                return index
        return None


def _add_name(indices: dict[str, int], name: str, index: int) -> None:
    if indices.setdefault(name, index) != index:
        indices[name] = AMBIGUOUS


def _file_name(path: str) -> str:
    return plain_name(path).rpartition("/")[2]


def _comparable_file_name(path: str) -> str:
    return comparable_name(_file_name(path))


def _stem(path: str) -> str:
    name = _comparable_file_name(path)
    return str(PurePosixPath(name).with_suffix("")) if has_image_suffix(name) else name


LOOSER_NAMES: Final = (_file_name, _comparable_file_name, _stem)
"""Tried in this order after the name as it stands: without folders, in any case and Unicode form, without suffix."""


def _path_suffixes(path: str) -> Iterator[str]:
    """The path without its first folder, the first two, and so on, down to one folder and the file name."""
    parts = plain_name(path).split("/")
    return ("/".join(parts[start:]) for start in range(len(parts) - 1))


def _report(problems: dict[str, list[str]], ambiguous: Sequence[str], references_file: str) -> str:
    """One sentence for each kind of problem, with what to do about it."""
    several = f"; several images have the name {first_names(ambiguous)}" if ambiguous else ""
    descriptions = {
        "missing": f"no caption for {{}} of {references_file}",
        "unknown": f"captions of {{}} that are not in {references_file}{several}",
        "duplicate": "several captions of {}",
        "empty": "an empty caption of {}",
        "unreferenced": f"no references for {{}} in {references_file}",
    }
    return ". ".join(
        f"{descriptions[kind].format(f'{_images(len(names))} ({first_names(names)})')}: --leave-out {kind}"
        + (" or --score-empty" if kind in SCORABLE_AS_EMPTY else "")
        for kind, names in problems.items()
    )


def _images(count: int) -> str:
    return f"{count} image{'s' if count != 1 else ''}"
