from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tests import skips
from tests.metrics.conftest import FLICKR8K

from showtell.errors import BadConfig, BadData, MissingExtra
from showtell.install import install_hint
from showtell.metrics.java import MeteorScores, meteor, meteor_from_stats
from showtell.metrics.tokenization import tokenize

Images = list[tuple[list[str], list[list[str]]]]
Pycocoevalcap = Callable[[Images], tuple[float, list[float]]]

FAKE = """#!{python}
import sys
print("Picked up JAVA_TOOL_OPTIONS: -Dany", file=sys.stderr)
{program}
"""


def image(candidate: str, *references: str) -> tuple[list[str], list[list[str]]]:
    return candidate.split(), [reference.split() for reference in references]


WRITTEN: Images = [
    image("a dog is running through the park", "a dog runs in the park", "the dog is running"),
    image("", "a dog"),
    image("", ""),
    image("a dog", ""),
    image("a dog runs", "a dog runs"),
    image("the cat sat on the mat", "on the mat sat the cat", "the cat sat on the mat"),
    image("dog a", "a dog"),
    image("a kid is leaping", "the child jumps", "a child is jumping", "kids leap"),
    image("a café in Zürich , naïve", "a cafe in Zurich", "das Café in ZÜRICH"),
    image("犬 が 走る 🐕 on the beach", "犬 が 走る", "a 🐕 on the beach"),
    image("2\u00a01/2 feet İstanbul", "2 1/2 feet istanbul"),
    image("ein || mann | geht", "a man walks | away ||"),
    image("two girls play", *(f"{number} girls play on the {number} beach" for number in range(20))),
    image("xylophone", "nothing alike"),
    *(image(f"a {word} jumps", "a child jumps") for word in ("child", "kid", "table")),
]


def run(images: Images) -> MeteorScores:
    return meteor([candidate for candidate, _ in images], [references for _, references in images])


@pytest.fixture(scope="module")
def needs_java() -> ModuleType:
    """pycocoevalcap's module."""
    module: ModuleType = pytest.importorskip("pycocoevalcap.meteor.meteor", reason=skips.PACKAGES)
    if shutil.which("java") is None:
        pytest.skip(skips.JAVA)
    return module


@pytest.fixture(scope="module")
def pycocoevalcap(needs_java: ModuleType) -> Iterator[Pycocoevalcap]:
    """pycocoevalcap's own METEOR, of the corpus and of each image."""
    with pytest.MonkeyPatch.context() as patch:
        # Before Java 18, text is read in the encoding of the terminal unless this is said.
        patch.setenv("JAVA_TOOL_OPTIONS", "-Dfile.encoding=UTF-8")
        program = needs_java.Meteor()

    def score(images: Images) -> tuple[float, list[float]]:
        references = {n: [" ".join(words) for words in captions] for n, (_, captions) in enumerate(images)}
        answer: tuple[float, list[float]] = program.compute_score(
            references, {n: [" ".join(candidate)] for n, (candidate, _) in enumerate(images)}
        )
        return answer

    yield score
    for pipe in (program.meteor_p.stdout, program.meteor_p.stderr):
        pipe.close()


@pytest.fixture
def fake_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets `java` be a Python program."""
    pytest.importorskip("pycocoevalcap.meteor.meteor", reason=skips.PACKAGES)
    if os.name == "nt":
        pytest.skip("a script is no program on Windows")

    def make(program: str) -> None:
        java = tmp_path / "java"
        java.write_text(FAKE.format(python=sys.executable, program=program), encoding="utf-8")
        java.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return make


# What pycocoevalcap cannot be asked, as its input is lines: the program's separators and line ends inside words, and a
# lone surrogate, which UTF-8 cannot encode.
ODD: Images = [
    (["a", "|||", "dog\n", "runs"], [["a\r\n", "dog", "walks|||"], ["cats"]]),
    image("a dog runs", "a dog walks", "cats"),
    (["a", "\ud83d", "dog"], [["a", "dog"]]),
]


@pytest.fixture(scope="module")
def flickr8k_images(request: pytest.FixtureRequest) -> Images:
    """Captions of the photo, of another one, or what a photo's reference begins with; none without Flickr8k."""
    if not FLICKR8K.is_dir():
        return []
    captions: dict[str, list[str]] = request.getfixturevalue("flickr8k")["en"]
    photos = [[tokenize(caption, "en") for caption in human] for human in list(captions.values())[:100]]
    return [((human[0], photos[n - 1][0], human[1][:6])[n % 3], human[1:]) for n, human in enumerate(photos)]


@pytest.fixture(scope="module")
def everything(needs_java: ModuleType, flickr8k_images: Images) -> MeteorScores:
    """Scores of WRITTEN, ODD and Flickr8k from one run of the program, whose start takes seconds."""
    return run([*WRITTEN, *ODD, *flickr8k_images])


@pytest.fixture(scope="module")
def result(everything: MeteorScores) -> MeteorScores:
    """Scores of WRITTEN."""
    return part(everything, slice(len(WRITTEN)))


def part(scores: MeteorScores, images: slice) -> MeteorScores:
    stats = scores.stats[images]
    return MeteorScores(scores.per_image[images], float(meteor_from_stats(stats.sum(axis=0))), stats)


def check(result: MeteorScores, expected: tuple[float, list[float]]) -> None:
    corpus, per_image = expected
    np.testing.assert_allclose(result.per_image, per_image, rtol=0, atol=1e-14)
    assert result.corpus == pytest.approx(corpus, abs=1e-14)


def test_equal_to_pycocoevalcap(result: MeteorScores, pycocoevalcap: Pycocoevalcap) -> None:
    assert np.count_nonzero(result.per_image) > 5
    assert result.stats.shape == (len(WRITTEN), 23)
    check(result, pycocoevalcap(WRITTEN))


def test_equal_to_pycocoevalcap_on_flickr8k(
    everything: MeteorScores, flickr8k_images: Images, pycocoevalcap: Pycocoevalcap
) -> None:
    if not flickr8k_images:
        pytest.skip(f"no Flickr8k captions at {FLICKR8K}")
    result = part(everything, slice(len(WRITTEN) + len(ODD), None))
    check(result, pycocoevalcap(flickr8k_images))
    assert result.corpus != pytest.approx(result.per_image.mean(), abs=1e-4)


def test_the_corpus_score_is_that_of_summed_statistics(everything: MeteorScores) -> None:
    assert everything.corpus == part(everything, slice(None)).corpus


def test_resampled_sums_are_java_on_the_resampled_images(result: MeteorScores, pycocoevalcap: Pycocoevalcap) -> None:
    chosen = np.random.default_rng(0).integers(len(WRITTEN), size=(40, len(WRITTEN)))
    own = meteor_from_stats(result.stats[chosen].sum(axis=1))
    assert own.shape == (40,)
    java = [pycocoevalcap([WRITTEN[n] for n in some])[0] for some in chosen]
    np.testing.assert_allclose(own, java, rtol=0, atol=1e-14)


def test_whole_captions_in_a_sum_have_no_chunks(result: MeteorScores, pycocoevalcap: Pycocoevalcap) -> None:
    for some in ([4], [4, 4, 4], [4, 6], [4, 1], [6, 6]):
        own = float(meteor_from_stats(result.stats[some].sum(axis=0)))
        assert own == pytest.approx(pycocoevalcap([WRITTEN[n] for n in some])[0], abs=1e-14)


def test_a_synonym_is_worth_less_than_the_word_and_more_than_none(result: MeteorScores) -> None:
    same, synonym, other = result.per_image[-3:]
    assert same == 1
    assert other < synonym < same


def test_text_that_means_something_to_the_program(everything: MeteorScores) -> None:
    odd, plain, lone_surrogate = everything.per_image[len(WRITTEN) : len(WRITTEN) + len(ODD)]
    assert odd == plain
    assert 0 < lone_surrogate < 1


def test_no_images() -> None:
    result = run([])
    assert result.per_image.shape == (0,)
    assert result.corpus == 0


def test_by_hand() -> None:
    # 3 words, 1 of them a function word, against 4 and 2; a content word equal, one by stem; a function word equal.
    counts = np.array([3, 4, 1, 2, *(1, 1, 1, 1), *(1, 1, 0, 0), *[0] * 8, 2, 3, 3])
    matching = 0.75 * (1 + 0.6) + 0.25
    precision, recall = matching / (0.75 * 2 + 0.25), matching / (0.75 * 2 + 0.25 * 2)
    mean = 1 / (0.15 / precision + 0.85 / recall)
    assert float(meteor_from_stats(counts)) == pytest.approx(mean * (1 - 0.6 * (2 / 3) ** 0.2))


def test_five_thousand_images_and_much_on_stderr(
    fake_java: Callable[[str], None], capfd: pytest.CaptureFixture[str]
) -> None:
    # Answers before it has read all, so that a caller who writes first and reads later waits for ever.
    fake_java(
        "print('x' * 1_000_000, file=sys.stderr)\n"
        "for line in sys.stdin.buffer:\n"
        "    words = line.decode().count('dög')\n"
        "    print('0.0 ' * 22 + f'{words}.0', flush=True)"
    )
    result = run([image("dög " * (n % 7), "dög") for n in range(5000)])
    assert result.stats[:, 22].tolist() == [n % 7 + 1 for n in range(5000)]
    assert capfd.readouterr() == ("", "")


def test_a_crash_is_one_line(fake_java: Callable[[str], None]) -> None:
    fake_java(
        "print('Exception in thread \"main\" java.lang.OutOfMemoryError: Java heap space', file=sys.stderr)\n"
        "print('\\tat Meteor.main(Unknown Source)', file=sys.stderr)\n"
        "sys.exit(1)"
    )
    with pytest.raises(BadConfig, match=r"^METEOR's Java program failed \(.*OutOfMemoryError: Java heap space\); see"):
        run([image("a", "a")])


def test_a_crash_without_a_word(fake_java: Callable[[str], None]) -> None:
    fake_java("sys.exit(3)")
    with pytest.raises(BadConfig, match=r"^METEOR's Java program failed \(exit status 3\)"):
        run([image("a", "a")])


@pytest.mark.parametrize("printed", ["'Error: specify meteor stats'", "'1.0 2.0'", "'many words ' * 30"])
def test_an_answer_that_is_none(fake_java: Callable[[str], None], printed: str) -> None:
    fake_java(f"print({printed})")
    with pytest.raises(BadConfig, match=r"expected 23 numbers for each image; leave METEOR out$"):
        run([image("a", "a")])


def test_too_few_answers(fake_java: Callable[[str], None]) -> None:
    fake_java("print('0.0 ' * 23)")
    with pytest.raises(BadConfig, match="too few lines"):
        run([image("a", "a"), image("a", "a")])


def test_no_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("pycocoevalcap.meteor.meteor", reason=skips.PACKAGES)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadConfig, match=r"^METEOR needs Java, found no `java` on the PATH; .* or leave METEOR"):
        run([image("a", "a")])


def test_a_java_that_is_no_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("pycocoevalcap.meteor.meteor", reason=skips.PACKAGES)
    (tmp_path / "java").write_bytes(b"\x00\x01")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadConfig, match="does not start"):
        run([image("a", "a")])


def test_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocoevalcap.meteor.meteor", None)
    with pytest.raises(MissingExtra, match=re.escape(install_hint("java-metrics"))):
        run([image("a", "a")])


def test_other_languages() -> None:
    with pytest.raises(BadConfig, match=r"^found language 'ar'; METEOR is for English"):
        meteor([["a"]], [[["a"]]], language="ar")


def test_images_without_references() -> None:
    with pytest.raises(BadData, match="an empty list for image 1"):
        run([image("a", "a"), image("a")])
    with pytest.raises(BadData, match="those of 1 images; expected those of 2"):
        meteor([["a"], ["b"]], [[["a"]]])


def test_the_package_is_imported_when_it_is_used() -> None:
    program = "import sys, showtell.metrics, showtell.metrics.java; print('pycocoevalcap' in str(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
