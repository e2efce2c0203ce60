"""SPICE 1.0 (Anderson et al. 2016), from the Java program in pycocoevalcap.

A caption is parsed into propositions: objects (dog), their attributes (dog, brown) and relations (dog, on, beach). The
score is the F measure of the caption's propositions and those of all references together, synonyms being equal.

The parser, Stanford CoreNLP, does not come with pycocoevalcap; it is fetched once, to where pycocoevalcap keeps it.
"""

from __future__ import annotations

import http.client
import json
import logging
import shutil
import tempfile
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np

from showtell.errors import BadConfig
from showtell.metrics.java_program import check_captions, folder_of, java_version, pycocoevalcap, run_java
from showtell.metrics.ngrams import Floats

_LOG: Final = logging.getLogger(__name__)
_MEMORY: Final = "-Xmx8G"  # as pycocoevalcap has it
_SECONDS: Final = 60
_NO_SCRIPT: Final = 15

_WITHOUT_SCRIPT: Final = """
import edu.anu.spice.SpiceArguments;
import edu.anu.spice.SpiceScorer;

class Spice {
    public static void main(String[] files) throws Exception {
        var arguments = SpiceArguments.class.getDeclaredConstructor(String[].class);
        var scorer = SpiceScorer.class.getDeclaredConstructor();
        arguments.setAccessible(true);
        scorer.setAccessible(true);
        SpiceScorer spice = scorer.newInstance();
        spice.scoreBatch(arguments.newInstance((Object) new String[] {files[0], "-silent"}));
        java.nio.file.Files.writeString(java.nio.file.Path.of(files[1]), spice.stats.toJSONString());
    }
}
"""
"""SPICE writes its result by means of Java's JavaScript, which Java 15 dropped; this is its `main` without that."""


def spice(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], language: str = "en"
) -> Floats:
    """SPICE of B captions, in words as `split_words` gives them, `[B]` from 0 to 1; that of all captions is the mean.

    The first call fetches 400 MB from nlp.stanford.edu, and says so in the log.

    Raises BadConfig for another language than English, without Java, when the parser cannot be fetched and when the
    program fails; MissingExtra without pycocoevalcap; BadData for an image without references.
    """
    check_captions("SPICE", candidates, references, language)
    if not candidates:
        return np.zeros(0)
    program = pycocoevalcap("spice.spice")
    has_script = _has_script()
    _need_parser(pycocoevalcap("spice.get_stanford_models"))
    images = [
        {"image_id": place, "test": " ".join(said), "refs": [" ".join(words) for words in right]}
        for place, (said, right) in enumerate(zip(candidates, references, strict=True))
    ]
    with tempfile.TemporaryDirectory() as name:
        captions, result, source = (str(Path(name, file)) for file in ("captions.json", "result.json", "Spice.java"))
        Path(captions).write_text(json.dumps(images), encoding="ascii")
        Path(source).write_text(_WITHOUT_SCRIPT, encoding="ascii")
        # Without its -cache, which needs more of Java's inside than Java 16 and later give away.
        if has_script:
            arguments = ["-jar", program.SPICE_JAR, captions, "-silent", "-out", result]
        else:
            arguments = ["-cp", program.SPICE_JAR, source, captions, result]
        run_java("SPICE", [_MEMORY, *arguments], folder_of(program))
        return _read(Path(result), len(candidates))


def _has_script() -> bool:
    """Whether this Java can do what SPICE needs by itself, and not only by compiling a program of ours."""
    version = java_version("SPICE")
    if version >= _NO_SCRIPT and "jdk.compiler" not in run_java("SPICE", ["--list-modules"]):
        raise BadConfig(
            f"SPICE needs Java 8 to {_NO_SCRIPT - 1}, or the whole JDK of a later version, and found a Java {version} "
            "that cannot compile; install one of these (such as openjdk-17-jdk-headless), or leave SPICE out"
        )
    return version < _NO_SCRIPT


def _read(file: Path, images: int) -> Floats:
    try:
        found = {image["image_id"]: image["scores"]["All"]["f"] for image in json.loads(file.read_text("utf-8"))}
        return np.array([float(found[place]) for place in range(images)])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadConfig(
            f"SPICE's Java program ended well, but left no score for each of {images} images ({error!r}); "
            "leave SPICE out"
        ) from error


def _need_parser(theirs: ModuleType) -> None:
    """Fetches CoreNLP where it is not yet, but not as pycocoevalcap does: that prints, and leaves halves behind."""
    folder = folder_of(theirs) / theirs.SPICELIB
    jars = [f"{theirs.JAR}.jar", f"{theirs.JAR}-models.jar"]
    if all((folder / jar).is_file() for jar in jars):
        return
    url = f"https://nlp.stanford.edu/software/{theirs.CORENLP}.zip"
    _LOG.warning("SPICE needs the parser Stanford CoreNLP: fetching 400 MB, once, from %s to %s", url, folder)
    try:
        with tempfile.TemporaryDirectory(dir=folder) as name:  # on the same disk, so that the jars appear whole
            packed = Path(name, "corenlp.zip")
            with urllib.request.urlopen(url, timeout=_SECONDS) as answer, packed.open("wb") as file:
                shutil.copyfileobj(answer, file)
            with zipfile.ZipFile(packed) as archive:
                unpacked = [Path(archive.extract(f"{theirs.CORENLP}/{jar}", name)) for jar in jars]
            for jar in unpacked:
                jar.replace(folder / jar.name)
    except (OSError, http.client.HTTPException, zipfile.BadZipFile, KeyError) as error:
        raise BadConfig(
            f"SPICE needs the parser Stanford CoreNLP, and fetching {url} (400 MB) to {folder} failed ({error}); "
            f"put {' and '.join(jars)} from that file there, or leave SPICE out"
        ) from error
