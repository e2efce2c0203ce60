from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests import skips

from showtell.errors import BadConfig, BadData, MissingExtra
from showtell.install import install_hint
from showtell.metrics import java_spice
from showtell.metrics.java import spice

DOG = (["a", "brown", "dog", "runs"], [["the", "brown", "dog", "runs"], ["a", "dog"]])
CAFÉ = (["a", "café"], [["a", "café", "犬"]])
NOTHING: tuple[list[str], list[list[str]]] = ([], [["a", "dog"]])

FAKE = """#!{python}
import json
import sys
from pathlib import Path

with Path({calls!r}).open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
if "-version" in sys.argv:
    print('openjdk version "{version}" 2020-01-01', file=sys.stderr)
elif "--list-modules" in sys.argv:
    print("{modules}")
else:
    print("Parsing reference captions", file=sys.stderr)
    print("SPICE evaluation took: 1 s")
    exec({does!r})
"""

# Instead of propositions: words. All else of SPICE is as it is.
STUBS = {
    "SceneGraph": "public class SceneGraph { java.util.Set<String> words = new java.util.HashSet<>(); }",
    "SpiceParser": """
        import java.util.*;
        public class SpiceParser {
            public SpiceParser(String cache, int threads, Boolean synsets) {}
            public List<SceneGraph> parseCaptions(List<String> captions) {
                return parseCaptions(captions, Collections.nCopies(captions.size(), 1));
            }
            public List<SceneGraph> parseCaptions(List<String> captions, List<Integer> chunks) {
                List<SceneGraph> graphs = new ArrayList<>();
                Iterator<String> caption = captions.iterator();
                for (int chunk : chunks) {
                    SceneGraph graph = new SceneGraph();
                    for (; chunk > 0; chunk--) graph.words.addAll(Arrays.asList(caption.next().split(" ")));
                    graph.words.remove("");
                    graphs.add(graph);
                }
                return graphs;
            }
        }""",
    "TupleSet": """
        public class TupleSet {
            public static class Count { public int n; }
            java.util.Set<String> words;
            public TupleSet(SceneGraph graph) { words = graph.words; }
            public TupleSet(SceneGraph graph, TupleFilter filter) { words = graph.words; }
            public int size() { return words.size(); }
            public Count match_similar(TupleSet other) {
                Count count = new Count();
                for (String word : words) if (other.words.contains(word)) count.n++;
                return count;
            }
            public Count match_exact(TupleSet other) { return match_similar(other); }
        }""",
}


def f_of_words(candidate: list[str], references: list[list[str]]) -> float:
    words, reference_words = set(candidate), set().union(*references)
    return 2 * len(words & reference_words) / (len(words) + len(reference_words))


def run(*images: tuple[list[str], list[list[str]]]) -> list[float]:
    scores: list[float] = spice([candidate for candidate, _ in images], [refs for _, refs in images]).tolist()
    return scores


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a SPICE that is all there, to look at it."""
    folder = tmp_path / "spice"
    (folder / "lib").mkdir(parents=True)
    for jar in ("parser-1.jar", "parser-1-models.jar"):
        (folder / "lib" / jar).touch()
    module = SimpleNamespace(
        __file__=str(folder / "spice.py"), SPICE_JAR="spice.jar", SPICELIB="lib", JAR="parser-1", CORENLP="full-parser"
    )
    monkeypatch.setattr(java_spice, "import_pycocoevalcap", lambda name: module)
    return folder


@pytest.fixture
def stubbed(program: Path) -> Path:
    """SPICE itself, but for its parser."""
    pycocoevalcap = pytest.importorskip("pycocoevalcap.spice.spice", reason=skips.PACKAGES)
    if shutil.which("javac") is None or shutil.which("java") is None:
        pytest.skip(skips.JDK)
    real = Path(pycocoevalcap.__file__).parent
    for jar in (real / "lib").glob("*.jar"):
        shutil.copy(jar, program / "lib")
    source, compiled = program / "source", program / "compiled"
    source.mkdir()
    for name, text in STUBS.items():
        (source / f"{name}.java").write_text(f"package edu.anu.spice; {text}", encoding="utf-8")
    files = [str(source / f"{name}.java") for name in STUBS]
    command = [
        "javac",
        "-nowarn",
        "--release",
        "8",
        "-cp",
        str(real / pycocoevalcap.SPICE_JAR),
        "-d",
        str(compiled),
        *files,
    ]
    subprocess.run(command, check=True, capture_output=True)
    own = {str(file.relative_to(compiled)): file for file in compiled.rglob("*.class")}
    with (
        zipfile.ZipFile(real / pycocoevalcap.SPICE_JAR) as original,
        zipfile.ZipFile(program / "spice.jar", "w") as jar,
    ):
        for name in original.namelist():
            if name not in own and not name.startswith("edu/anu/spice/SceneGraph"):
                jar.writestr(name, original.read(name))
        for name, file in own.items():
            jar.write(file, name)
    return program


@pytest.fixture
def fake_java(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Lets `java` be a Python program; gives the file in which its calls are."""
    if os.name == "nt":
        pytest.skip("a script is no program on Windows")

    def make(does: str = "", version: str = "1.8.0_242", modules: str = "java.base@17.0.15") -> Path:
        java, calls = tmp_path / "bin" / "java", tmp_path / "calls"
        java.parent.mkdir()
        java.write_text(
            FAKE.format(python=sys.executable, calls=str(calls), version=version, modules=modules, does=does),
            encoding="utf-8",
        )
        java.chmod(0o755)
        monkeypatch.setenv("PATH", str(java.parent))
        return calls

    return make


def answers(*scores: object) -> str:
    """A program that writes the scores of images."""
    images = [{"image_id": n, "scores": {"All": {"f": score, "pr": 1.0}}} for n, score in enumerate(scores)]
    return f"Path(sys.argv[-1]).write_text({json.dumps(images[::-1])!r})"


def test_what_spice_itself_makes_of_it(stubbed: Path, capfd: pytest.CaptureFixture[str]) -> None:
    result = run(DOG, CAFÉ, NOTHING)
    assert result == pytest.approx([f_of_words(*DOG), f_of_words(*CAFÉ), 0])
    assert capfd.readouterr() == ("", "")
    assert not (stubbed / "cache").exists()


def test_java_8_writes_it_alone(fake_java: Callable[..., Path], capfd: pytest.CaptureFixture[str]) -> None:
    calls = fake_java(answers(0.25, 1, 0))
    assert run(DOG, CAFÉ, NOTHING) == [0.25, 1, 0]
    arguments = json.loads(calls.read_text().splitlines()[-1])
    assert arguments[arguments.index("-jar") + 1] == "spice.jar"
    assert arguments[-3:-1] == ["-silent", "-out"]
    assert "-cache" not in arguments
    assert capfd.readouterr() == ("", "")


def test_what_the_program_reads(fake_java: Callable[..., Path], tmp_path: Path) -> None:
    saved = tmp_path / "kept.json"
    fake_java(f"Path({str(saved)!r}).write_bytes(Path(sys.argv[-4]).read_bytes())\n" + answers(0, 0))
    run(CAFÉ, NOTHING)
    assert json.loads(saved.read_bytes()) == [
        {"image_id": 0, "test": "a café", "refs": ["a café 犬"]},
        {"image_id": 1, "test": "", "refs": ["a dog"]},
    ]
    assert saved.read_bytes().isascii()


def test_a_later_java_that_compiles(fake_java: Callable[..., Path]) -> None:
    calls = fake_java(answers(0.5), version="17.0.15", modules="java.base@17.0.15 jdk.compiler@17.0.15")
    assert run(DOG) == [0.5]
    arguments = json.loads(calls.read_text().splitlines()[-1])
    assert Path(arguments[arguments.index("spice.jar") + 1]).name == "Spice.java"


def test_a_later_java_that_does_not_compile(fake_java: Callable[..., Path]) -> None:
    fake_java(answers(0.5), version="17.0.15")
    with pytest.raises(BadConfig, match=r"^SPICE needs Java 8 to 14, or the whole JDK .* found a Java 17 that cannot"):
        run(DOG)


def test_a_java_without_version(fake_java: Callable[..., Path]) -> None:
    fake_java(version='"')
    with pytest.raises(BadConfig, match=r"expected its version"):
        run(DOG)


def test_a_crash_is_one_line(fake_java: Callable[..., Path]) -> None:
    fake_java(
        "print('Exception in thread \"main\" java.lang.ExceptionInInitializerError', file=sys.stderr)\n"
        "print('\\tat edu.anu.spice.SpiceParser', file=sys.stderr)\n"
        "print('Caused by: java.lang.reflect.InaccessibleObjectException: no String.value', file=sys.stderr)\n"
        "sys.exit(1)"
    )
    with pytest.raises(BadConfig, match=r"^SPICE's Java program failed \(Caused by: .*: no String\.value\); see that"):
        run(DOG)


@pytest.mark.parametrize(
    "does", ["", "Path(sys.argv[-1]).write_text('{')", answers(0.5), answers(None, 0.5), answers("x", 1)]
)
def test_no_score_for_an_image(fake_java: Callable[..., Path], does: str) -> None:
    fake_java(does)
    with pytest.raises(BadConfig, match=r"wrote no score for each of 2 images"):
        run(DOG, CAFÉ)


def test_the_parser_is_fetched_once(
    program: Path, fake_java: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for jar in (program / "lib").iterdir():
        jar.unlink()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for jar in ("parser-1.jar", "parser-1-models.jar", "other.jar"):
            archive.writestr(f"full-parser/{jar}", jar)
    asked: list[str] = []

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO(packed.getvalue())

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    fake_java(answers(0.5))
    with caplog.at_level(logging.WARNING):
        assert run(DOG) == run(DOG) == [0.5]
    assert asked == ["https://nlp.stanford.edu/software/full-parser.zip"]
    assert {jar.name: jar.read_text() for jar in (program / "lib").iterdir()} == {
        "parser-1.jar": "parser-1.jar",
        "parser-1-models.jar": "parser-1-models.jar",
    }
    assert [asked[0] in message and "400 MB" in message for message in caplog.messages] == [True]


@pytest.mark.parametrize("failure", ["no network", "half of it", "another file", "a zip of others"])
def test_a_parser_that_cannot_be_fetched(
    program: Path, fake_java: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    (program / "lib" / "parser-1-models.jar").unlink()
    empty_zip = b"PK\x05\x06" + bytes(18)
    answer = {"half of it": b"PK\x03\x04 and no more", "another file": b"<html>", "a zip of others": empty_zip}

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        if failure not in answer:
            raise urllib.error.URLError("Name or service not known")
        return io.BytesIO(answer[failure])

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    fake_java(answers(0.5))
    with pytest.raises(
        BadConfig, match=r"^SPICE needs .* fetching https://nlp.stanford.edu.* failed .* leave SPICE out$"
    ):
        run(DOG)
    assert [jar.name for jar in (program / "lib").iterdir()] == ["parser-1.jar"]


def test_no_java(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(program))
    with pytest.raises(BadConfig, match=r"^SPICE needs Java, found no `java` on the PATH"):
        run(DOG)


def test_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocoevalcap.spice.spice", None)
    with pytest.raises(MissingExtra, match=re.escape(install_hint("java-metrics"))):
        run(DOG)


def test_other_languages_and_no_references() -> None:
    with pytest.raises(BadConfig, match=r"^found language 'ar'; SPICE is for English"):
        spice([["a"]], [[["a"]]], language="ar")
    with pytest.raises(BadData, match=r"an empty list for image 0"):
        run((["a"], []))
    assert run() == []


def test_equal_to_pycocoevalcap() -> None:
    """On its own example's kind of captions, where the parser is there and Java is old enough for pycocoevalcap."""
    pycocoevalcap = pytest.importorskip("pycocoevalcap.spice.spice", reason=skips.PACKAGES)
    if not list(Path(pycocoevalcap.__file__).parent.glob("lib/stanford-corenlp-*-models.jar")):
        pytest.skip(skips.CORENLP)
    if shutil.which("java") is None:
        pytest.skip(skips.JAVA)
    images = [DOG, CAFÉ, NOTHING, (["two", "kids", "jump"], [["two", "children", "jump", "on", "a", "bed"]])]
    result = run(*images)
    assert 0 < result[0] <= 1
    assert result[2] == 0
    try:
        mean, per_image = pycocoevalcap.Spice().compute_score(
            {n: [" ".join(words) for words in refs] for n, (_, refs) in enumerate(images)},
            {n: [" ".join(candidate)] for n, (candidate, _) in enumerate(images)},
        )
    except subprocess.CalledProcessError:
        pytest.skip(skips.OLD_JAVA)
    assert result == pytest.approx([scores["All"]["f"] for scores in per_image])
    assert np.mean(result) == pytest.approx(mean)
