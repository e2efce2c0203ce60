"""Which caption belongs to which references, and that nothing is left out unless it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.counting import assert_linear

from showtell.data.candidates import Candidate, read_candidates
from showtell.data.matching import PROBLEMS, Matches, match_captions
from showtell.data.references import References, read_references
from showtell.errors import BadConfig, BadData

COCO = [
    References(("9", "COCO_val2014_000000000009.jpg"), ("A dog.", "The dog.")),
    References(("123456", "000000123456"), ("A cat.",)),
]
PLAIN = [References((name,), (f"{name} is here.",)) for name in ("a.jpg", "b.jpg", "c.jpg")]
GOOD = [Candidate(name, (f"{name} is there.",)) for name in ("a.jpg", "b.jpg", "c.jpg")]


def said(*names: str) -> list[Candidate]:
    return [Candidate(name, (f"Caption {n}",)) for n, name in enumerate(names)]


def test_captions_and_references_by_primary_name_in_the_order_of_the_references() -> None:
    candidates = [Candidate("000000123456", ("a cat", "the cat")), Candidate("9", ("a dog",))]
    pairs = match_captions(candidates, [*COCO[:1], References(("123456", "000000123456"), (" ", "A cat."))])
    assert pairs == Matches(
        captions={"9": "a dog", "123456": "a cat"},
        alternatives={"9": ("a dog",), "123456": ("a cat", "the cat")},
        references={"9": ("A dog.", "The dog."), "123456": ("A cat.",)},
        left_out={},
        scored_empty=[],
    )
    assert list(pairs.captions) == list(pairs.references) == ["9", "123456"]


@pytest.mark.parametrize(
    ("name", "names", "found"),
    [
        ("a.jpg", [("a.jpg",)], "a.jpg"),
        ("a.jpg", [("1", "a.jpg")], "1"),
        ("photos/a.jpg", [("a.jpg",)], "a.jpg"),
        ("photos/a.jpg", [("1", "a.jpg")], "1"),
        ("C:\\photos\\a.jpg", [("a.jpg",)], "a.jpg"),
        ("a.jpg", [("val2014/a.jpg",)], "val2014/a.jpg"),
        ("photos/a.jpg", [("val2014/a.jpg",)], "val2014/a.jpg"),
        ("صور/قطة.jpg", [("قطة.jpg",)], "قطة.jpg"),
        # Of several images with the file name, the one whose folder is the same.
        ("/data/val/a.jpg", [("val/a.jpg",), ("train/a.jpg",)], "val/a.jpg"),
        ("/data/val/a.jpg", [("1", "val/a.jpg"), ("2", "train/a.jpg")], "1"),
        # A primary name goes before another image's other name.
        ("7", [("7", "a.jpg"), ("b.jpg", "7")], "7"),
        ("a.jpg", [("1", "a.jpg"), ("a.jpg", "2")], "a.jpg"),
        ("a.jpg", [("a.jpg",), ("sub/a.jpg",)], "a.jpg"),
        ("sub/a.jpg", [("a.jpg",), ("sub/a.jpg",)], "sub/a.jpg"),
        ("000000123456", [("123456", "x.jpg")], None),
        ("123456", [("000000123456",)], None),
        # Case, Unicode form, percent-encoding and suffix do not count where one image is meant.
        ("A.jpg", [("a.jpg",)], "a.jpg"),
        ("A.jpg", [("a.jpg",), ("A.jpg",)], "A.jpg"),
        ("cafe\u0301.jpg", [("caf\u00e9.jpg",)], "caf\u00e9.jpg"),
        ("photos/my%20dog.jpg", [("my dog.jpg",)], "my dog.jpg"),
        ("a", [("a.jpg",)], "a.jpg"),
        ("out/a.png", [("x/a.jpg",)], "x/a.jpg"),
        ("a", [("a.jpg",), ("b/A.png",)], None),
        ("a.b", [("a.jpg",)], None),
        ("a.jpg/", [("a.jpg",)], None),
        # Several images of the name: none of them.
        ("7", [("a.jpg", "7"), ("b.jpg", "7")], None),
        ("x.jpg", [("a/x.jpg",), ("b/x.jpg",)], None),
        ("c/x.jpg", [("a/x.jpg",), ("b/x.jpg",)], None),
        ("photos/x.jpg", [("x.jpg",), ("sub/x.jpg",)], None),
        ("c/x.jpg", [("1", "x.jpg"), ("2", "x.jpg")], None),
    ],
)
def test_what_a_name_finds(name: str, names: list[tuple[str, ...]], found: str | None) -> None:
    references = [References(each, ("A dog.",)) for each in (*names, ("other",))]
    pairs = match_captions(said(name, "other"), references, ("missing", "unknown"))
    assert list(pairs.captions) == [*([found] if found else []), "other"]
    assert pairs.left_out.get("unknown", []) == ([] if found else [name])


def problem(candidates: Sequence[Candidate], references: Sequence[References], **how: object) -> str:
    with pytest.raises(BadData) as caught:
        match_captions(candidates, references, file_names=("out.json", "refs.json"), **how)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


END = "; expected one caption for each image that has references; correct the files, or use the options named"


@pytest.mark.parametrize(
    ("kind", "candidates", "references", "message", "names"),
    [
        (
            "missing",
            GOOD[:1],
            PLAIN,
            "no caption for 2 images (b.jpg, c.jpg) of refs.json: --leave-out missing or --score-empty",
            ["b.jpg", "c.jpg"],
        ),
        (
            "unknown",
            [*GOOD, *said("x.jpg", "y.jpg", "x.jpg")],
            PLAIN,
            "captions of 2 images (x.jpg, y.jpg) that are not in refs.json: --leave-out unknown",
            ["x.jpg", "y.jpg"],
        ),
        (
            "unknown",
            [*GOOD, *said("y", "x.jpg")],
            [*PLAIN, References(("a/x.jpg",), ()), References(("b/x.jpg",), ())],
            "captions of 2 images (y, x.jpg) that are not in refs.json; several images have the name x.jpg: "
            "--leave-out unknown. no references for 2 images (a/x.jpg, b/x.jpg) in refs.json: --leave-out unreferenced",
            ["y", "x.jpg"],
        ),
        (
            "duplicate",
            [*GOOD, Candidate("photos/a.jpg", ("Another.",))],
            PLAIN,
            "several captions of 1 image (a.jpg): --leave-out duplicate",
            ["a.jpg"],
        ),
        (
            "duplicate",
            [*GOOD, GOOD[1]],
            PLAIN,
            "several captions of 1 image (b.jpg): --leave-out duplicate",
            ["b.jpg"],
        ),
        (
            "empty",
            [Candidate("b.jpg", ("",)), GOOD[0], Candidate("c.jpg", ())],
            PLAIN,
            "an empty caption of 2 images (b.jpg, c.jpg): --leave-out empty or --score-empty",
            ["b.jpg", "c.jpg"],
        ),
        (
            "empty",
            [*GOOD[:2], Candidate("c.jpg", (" \n", "A dog."))],
            PLAIN,
            "an empty caption of 1 image (c.jpg): --leave-out empty or --score-empty",
            ["c.jpg"],
        ),
        (
            "unreferenced",
            [*GOOD, *said("d.jpg", "d.jpg")],
            [*PLAIN, References(("d.jpg",), (" ",)), References(("e.jpg",), ())],
            "no references for 2 images (d.jpg, e.jpg) in refs.json: --leave-out unreferenced",
            ["d.jpg", "e.jpg"],
        ),
    ],
)
def test_each_problem_is_refused_or_left_out(
    kind: str, candidates: list[Candidate], references: list[References], message: str, names: list[str]
) -> None:
    assert problem(candidates, references) == f"out.json: found {message}{END}"
    pairs = match_captions(candidates, references, {kind, "unreferenced"})
    assert pairs.left_out[kind] == names
    assert list(pairs.captions) == [n for n in ("a.jpg", "b.jpg", "c.jpg") if kind == "unknown" or n not in names]
    assert pairs.scored_empty == []


def test_all_problems_are_in_one_message() -> None:
    references = [References((f"{n}.jpg",), ("A dog.",)) for n in range(9)] + [References(("none.jpg",), ())]
    candidates = [*said("0.jpg", "1.jpg", "x/1.jpg", "who.jpg"), Candidate("2.jpg", ())]
    assert problem(candidates, references) == (
        "out.json: found no caption for 6 images (3.jpg, 4.jpg, 5.jpg and 3 more) of refs.json: --leave-out missing or "
        "--score-empty. captions of 1 image (who.jpg) that are not in refs.json: --leave-out unknown. several captions "
        "of 1 image (1.jpg): --leave-out duplicate. an empty caption of 1 image (2.jpg): --leave-out empty or "
        f"--score-empty. no references for 1 image (none.jpg) in refs.json: --leave-out unreferenced{END}"
    )
    for kind in PROBLEMS:
        others = [each for each in PROBLEMS if each != kind]
        assert problem(candidates, references, leave_out=others).count("--leave-out") == 1
    pairs = match_captions(candidates, references, PROBLEMS)
    assert pairs.captions == {"0.jpg": "Caption 0"}
    assert pairs.left_out == {
        "missing": [f"{n}.jpg" for n in range(3, 9)],
        "unknown": ["who.jpg"],
        "duplicate": ["1.jpg"],
        "empty": ["2.jpg"],
        "unreferenced": ["none.jpg"],
    }


def test_absent_and_blank_captions_can_be_scored_as_empty() -> None:
    candidates = [GOOD[0], Candidate("c.jpg", (" ", "A dog."))]
    pairs = match_captions(candidates, PLAIN, score_empty=True)
    assert pairs.captions == {"a.jpg": "a.jpg is there.", "b.jpg": "", "c.jpg": ""}
    assert pairs.alternatives == {"a.jpg": ("a.jpg is there.",), "b.jpg": ("",), "c.jpg": ("", "A dog.")}
    assert set(pairs.references) == {"a.jpg", "b.jpg", "c.jpg"}
    assert (pairs.scored_empty, pairs.left_out) == (["b.jpg", "c.jpg"], {})


def test_what_is_left_out_is_not_scored_as_empty() -> None:
    pairs = match_captions([GOOD[0], Candidate("c.jpg", ())], PLAIN, ("missing",), score_empty=True)
    assert (list(pairs.captions), pairs.scored_empty) == (["a.jpg", "c.jpg"], ["c.jpg"])
    assert pairs.left_out == {"missing": ["b.jpg"]}


def test_no_other_problem_is_scored_as_empty() -> None:
    message = problem([*GOOD, GOOD[0]], [*PLAIN, References(("d.jpg",), ())], score_empty=True)
    assert "--leave-out duplicate" in message and "--leave-out unreferenced" in message


def test_nothing_left() -> None:
    assert problem(said("x", "y"), PLAIN, leave_out=PROBLEMS) == (
        "out.json: found nothing left to score (missing 3, unknown 2); expected a caption of an image of refs.json"
    )
    assert problem([], []) == (
        "out.json: found nothing left to score (both files are empty); expected a caption of an image of refs.json"
    )


def test_an_unknown_kind_of_problem_names_the_nearest() -> None:
    with pytest.raises(BadConfig, match=r"--leave-out mising: no kind of problem.*missing"):
        match_captions(GOOD, PLAIN, ["mising"])


def test_a_name_with_a_line_end_stays_on_the_line() -> None:
    assert "(x\\ny.jpg)" in problem([*GOOD, *said("x\ny.jpg")], PLAIN).replace("'", "")


def test_files_of_different_forms_meet(write) -> None:
    write("photos.jsonl", '{"image": "/photos/val/قطة.jpg", "caption": "قطة"}\n{"image": "b.jpg", "caption": "كلب"}')
    write("refs.json", '{"images": [{"id": 7, "file_name": "قطة.jpg"}, {"id": 8, "file_name": "b.jpg"}], '
        '"annotations": [{"image_id": 7, "caption": "قطة صغيرة"}, {"image_id": 8, "caption": "كلب"}]}')  # fmt: skip
    folder = write("x", "").parent
    pairs = match_captions(
        read_candidates(folder / "photos.jsonl", "ar"), read_references(str(folder / "refs.json"), None, "ar")
    )
    assert pairs.captions == {"7": "قطة", "8": "كلب"}
    assert pairs.references == {"7": ("قطة صغيرة",), "8": ("كلب",)}


class Name(str):
    """A name whose comparisons are counted as calls, also those of a list that is searched."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)


def test_work_is_linear() -> None:
    def work(images: int) -> Callable[[], object]:
        names = [Name(f"COCO_val2014_{n:012}.jpg") for n in range(images)]
        references = [References((Name(n), name), ("A dog.",)) for n, name in enumerate(names)]
        candidates = said(*(f"/data/photos/{name}" for name in reversed(names)))
        return lambda: match_captions(candidates, references)

    assert_linear(work)


# A slow plain version, which reads as the rules are said.


def slow_find(name: str, references: Sequence[References]) -> int | None:
    path = PurePosixPath(name)
    paths = [name] + [str(PurePosixPath(*path.parts[n:])) for n in range(1, len(path.parts) - 1)]
    for each in paths:
        for matches in (
            [n for n, image in enumerate(references) if image.names[0] == each],
            [n for n, image in enumerate(references) if each in image.names],
        ):
            if matches:
                return matches[0] if len(matches) == 1 else None
    matches = [n for n, image in enumerate(references) if path.name in {PurePosixPath(x).name for x in image.names}]
    return matches[0] if len(matches) == 1 else None


def slow_match(
    candidates: Sequence[Candidate], references: Sequence[References], leave_out: Collection[str], score_empty: bool
) -> tuple[dict[str, str], dict[str, set[str]], set[str]]:
    """Captions, names by kind of problem, and names that are scored as empty."""
    places = [slow_find(candidate.name, references) for candidate in candidates]
    captions: dict[str, str] = {}
    problems: dict[str, set[str]] = {kind: set() for kind in PROBLEMS}
    empty: set[str] = set()
    problems["unknown"] = {c.name for c, place in zip(candidates, places, strict=True) if place is None}
    for n, image in enumerate(references):
        rows = [c for c, place in zip(candidates, places, strict=True) if place == n]
        name = image.names[0]
        texts = [row.captions[0] if row.captions else "" for row in rows]
        if not "".join(image.captions).strip():
            problems["unreferenced"].add(name)
        elif len(rows) > 1:
            problems["duplicate"].add(name)
        elif texts and texts[0].strip():
            captions[name] = texts[0]
        else:
            kind = "empty" if rows else "missing"
            if score_empty and kind not in leave_out:
                captions[name] = ""
                empty.add(name)
            else:
                problems[kind].add(name)
    return captions, problems, empty


# Few names, so that they often meet.
paths = st.sampled_from(["1", "2", "01", "a", "b", "x/a", "y/a", "x/y/a", "z/x/a", "x/1", "y/b", "/x/b", "x/2"])
texts = st.sampled_from(["", " ", "A dog.", "كلب"])
images = st.lists(
    st.builds(
        References,
        st.lists(paths, min_size=1, max_size=3, unique=True).map(tuple),
        st.lists(texts, max_size=2).map(tuple),
    ),
    max_size=5,
    unique_by=lambda image: image.names[0],
)
rows = st.lists(st.builds(Candidate, paths, st.lists(texts, max_size=2).map(tuple)), max_size=6)


@given(rows, images, st.sets(st.sampled_from(PROBLEMS)), st.booleans())
def test_as_the_slow_plain_version(
    candidates: list[Candidate], references: list[References], leave_out: set[str], score_empty: bool
) -> None:
    captions, problems, empty = slow_match(candidates, references, leave_out, score_empty)
    refused = {kind for kind, names in problems.items() if names and kind not in leave_out}
    if refused or not captions:
        message = problem(candidates, references, leave_out=leave_out, score_empty=score_empty)
        assert {kind for kind in PROBLEMS if f"--leave-out {kind}" in message} == refused
        return
    pairs = match_captions(candidates, references, leave_out, score_empty)
    assert pairs.captions == captions
    assert {kind: set(names) for kind, names in pairs.left_out.items()} == {k: n for k, n in problems.items() if n}
    assert set(pairs.scored_empty) == empty
    assert {name: each[0] for name, each in pairs.alternatives.items()} == captions
    assert pairs.references == {
        image.names[0]: tuple(c for c in image.captions if c.strip())
        for image in references
        if image.names[0] in captions
    }
