"""Which caption belongs to which references, and what to do about images that have one and not the other.

A candidate is looked for among the primary names of the references, then among their other names, then the same with
the first folders of its path taken off, and last by its file name alone. A name, other than a primary one, or a file
name that several images have finds none of them: a guess would be scored like the truth.

Nothing is left out silently. Whatever does not fit is an error that names all kinds of problems at once, unless the
caller leaves out the images of that kind or scores absent captions as empty ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from showtell.config import nearest
from showtell.data.candidates import Candidate
from showtell.data.references import References
from showtell.errors import BadConfig, BadData

LEAVE_OUT: Final = ("missing", "unknown", "duplicate", "empty", "unreferenced")
"""The kinds of problems: no candidate; a candidate of no image; several candidates; an empty one; no references."""
SCORABLE: Final = ("missing", "empty")
"""Those that can be scored as an empty caption."""
SHARED: Final = -1
"""In place of the image that a name means, when several images have it."""


@dataclass(frozen=True)
class Pairs:
    """All by the primary name of the image, in the order of the references."""

    captions: dict[str, str]
    alternatives: dict[str, tuple[str, ...]]
    """All captions of an image, best first: the one in `captions`, then others."""
    references: dict[str, tuple[str, ...]]
    """Without blank ones."""
    left_out: dict[str, list[str]]
    """Names by kind of problem, for the kinds that there were."""
    scored_empty: list[str]


def pair(
    candidates: Sequence[Candidate],
    references: Sequence[References],
    leave_out: Collection[str] = (),
    score_empty: bool = False,
    where: tuple[str, str] = ("the candidates", "the references"),
) -> Pairs:
    """`where` names the two files in messages. What is left out is not scored as empty.

    Raises BadData, with every kind of problem that is not to be left out, and when nothing is left; BadConfig for an
    unknown kind in `leave_out`.
    """
    for kind in leave_out:
        if kind not in LEAVE_OUT:
            raise BadConfig(f"--leave-out {kind}: no kind of problem{nearest(kind, LEAVE_OUT)}")
    said, unknown, shared = _sorted_out(candidates, references)
    problems: dict[str, list[str]] = {kind: [] for kind in LEAVE_OUT}
    problems["unknown"] = unknown
    pairs = Pairs({}, {}, {}, {}, [])
    for place, image in enumerate(references):
        name, right = image.names[0], tuple(caption for caption in image.captions if caption.strip())
        rows = said.get(place, [])
        found = _problem(rows, right)
        if found in SCORABLE and score_empty and found not in leave_out:
            pairs.scored_empty.append(name)
        elif found is not None:
            problems[found].append(name)
            continue
        best, *others = (rows[0].captions if rows else ()) or ("",)
        pairs.captions[name] = best if best.strip() else ""
        pairs.alternatives[name] = (pairs.captions[name], *others)
        pairs.references[name] = right
    pairs.left_out.update({kind: names for kind, names in problems.items() if names})
    refused = {kind: names for kind, names in pairs.left_out.items() if kind not in leave_out}
    if refused:
        expected = "one caption for each image that has references; correct the files, or use the options named"
        raise BadData(where[0], _report(refused, shared, where[1]), expected)
    if not pairs.captions:
        counts = ", ".join(f"{kind} {len(names)}" for kind, names in pairs.left_out.items()) or "both files are empty"
        raise BadData(where[0], f"nothing left to score ({counts})", f"a caption of an image of {where[1]}")
    return pairs


def _sorted_out(
    candidates: Sequence[Candidate], references: Sequence[References]
) -> tuple[dict[int, list[Candidate]], list[str], list[str]]:
    """Candidates by the place of their image in `references`; names of no image; those of them that several have."""
    index = _Index(references)
    said: dict[int, list[Candidate]] = {}
    unknown: dict[str, bool] = {}
    for candidate in candidates:
        place = index.find(candidate.name)
        if place is None or place == SHARED:
            unknown[candidate.name] = place == SHARED
        else:
            said.setdefault(place, []).append(candidate)
    return said, list(unknown), [name for name, is_shared in unknown.items() if is_shared]


def _problem(rows: Sequence[Candidate], right: Sequence[str]) -> str | None:
    """An image has one at most: without references, nothing about its captions matters."""
    if not right:
        return "unreferenced"
    if not rows:
        return "missing"
    if len(rows) > 1:
        return "duplicate"
    return None if rows[0].captions and rows[0].captions[0].strip() else "empty"


class _Index:
    """Finds the place of an image in the references by what a candidate calls it."""

    def __init__(self, references: Sequence[References]) -> None:
        self._primary = {image.names[0]: place for place, image in enumerate(references)}
        if len(self._primary) < len(references):
            raise ValueError("two images have one primary name")
        self._others: dict[str, int] = {}
        self._files: dict[str, int] = {}
        for place, image in enumerate(references):
            for name in image.names:
                _note(self._others, name, place)
                _note(self._files, _file_name(name), place)

    def find(self, name: str) -> int | None:
        """None when there is no such image, SHARED when there are several."""
        for path in (name, *_below(name)):
            place = self._primary.get(path, self._others.get(path))
            if place is not None:
                return place
        return self._files.get(_file_name(name))


def _note(places: dict[str, int], name: str, place: int) -> None:
    if places.setdefault(name, place) != place:
        places[name] = SHARED


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _below(path: str) -> Iterator[str]:
    """The path with ever more of its first folders taken off, down to one folder and the file name."""
    parts = path.replace("\\", "/").split("/")
    return ("/".join(parts[start:]) for start in range(len(parts) - 1))


def _report(problems: dict[str, list[str]], shared: Sequence[str], where: str) -> str:
    """One sentence for each kind of problem, with what to do about it."""
    several = f"; several images have the name {_some(shared)}" if shared else ""
    what = {
        "missing": f"no caption for {{}} of {where}",
        "unknown": f"captions of {{}} that are not in {where}{several}",
        "duplicate": "several captions of {}",
        "empty": "an empty caption of {}",
        "unreferenced": f"no references for {{}} in {where}",
    }
    return ". ".join(
        f"{what[kind].format(f'{_images(len(names))} ({_some(names)})')}: --leave-out {kind}"
        + (" or --score-empty" if kind in SCORABLE else "")
        for kind, names in problems.items()
    )


def _images(count: int) -> str:
    return f"{count} image{'s' if count != 1 else ''}"


def _some(names: Sequence[str]) -> str:
    """Up to three of the names, and how many more there are."""
    # A name from JSON may hold a line end, and a message is one line.
    first = ", ".join(name if name.isprintable() else repr(name) for name in names[:3])
    return f"{first} and {len(names) - 3} more" if len(names) > 3 else first
