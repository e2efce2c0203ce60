"""SPICE 1.0 (Anderson et al. 2016), from the Java program in pycocoevalcap.

A caption is parsed into a scene graph of tuples: objects (dog), attributes (dog, brown) and relations (dog, on, beach).
The score is the F-measure of the caption's tuples and those of all references together; synonyms match.

The parser, Stanford CoreNLP, is not part of pycocoevalcap; it is downloaded once, to where pycocoevalcap expects it.
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
from showtell.metrics.java_program import check_inputs, import_pycocoevalcap, java_version, module_folder, run_java
from showtell.metrics.ngrams import Floats

_LOG: Final = logging.getLogger(__name__)
_MAX_HEAP: Final = "-Xmx8G"  # as pycocoevalcap has it
_TIMEOUT_SECONDS: Final = 60
_NASHORN_REMOVED: Final = 15
"""The Java version that dropped Nashorn, the JavaScript engine with which SPICE writes its result."""

_MAIN_WITHOUT_NASHORN: Final = """
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
"""SPICE's `main` without Nashorn."""


def spice(
    candidates: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], language: str = "en"
) -> Floats:
    """SPICE of B tokenized captions, `[B]` from 0 to 1; corpus SPICE is the mean.

    The first call downloads 400 MB from nlp.stanford.edu and logs a warning about it.

    Raises BadConfig for a language other than English, without Java, when the parser cannot be downloaded and when the
    program fails; MissingExtra without pycocoevalcap; BadData for an image without references.
    """
    check_inputs("SPICE", candidates, references, language)
    if not candidates:
        return np.zeros(0)
    module = import_pycocoevalcap("spice.spice")
    has_nashorn = _has_nashorn()
    _ensure_corenlp(import_pycocoevalcap("spice.get_stanford_models"))
    images = [
        {"image_id": index, "test": " ".join(candidate), "refs": [" ".join(words) for words in image_references]}
        for index, (candidate, image_references) in enumerate(zip(candidates, references, strict=True))
    ]
    with tempfile.TemporaryDirectory() as name:
        captions, result, source = (str(Path(name, file)) for file in ("captions.json", "result.json", "Spice.java"))
        Path(captions).write_text(json.dumps(images), encoding="ascii")
        Path(source).write_text(_MAIN_WITHOUT_NASHORN, encoding="ascii")
        # Without -cache, whose store needs internals of Java that Java 16 and later do not expose.
        if has_nashorn:
            arguments = ["-jar", module.SPICE_JAR, captions, "-silent", "-out", result]
        else:
            arguments = ["-cp", module.SPICE_JAR, source, captions, result]
        run_java("SPICE", [_MAX_HEAP, *arguments], module_folder(module))
        return _parse_scores(Path(result), len(candidates))


def _has_nashorn() -> bool:
    """Whether this Java has Nashorn. Raises BadConfig if it has neither Nashorn nor a compiler for our `main`."""
    version = java_version("SPICE")
    if version >= _NASHORN_REMOVED and "jdk.compiler" not in run_java("SPICE", ["--list-modules"]):
        raise BadConfig(
            f"SPICE needs Java 8 to {_NASHORN_REMOVED - 1}, or the whole JDK of a later version, and found a Java "
            f"{version} that cannot compile; install one of these (such as openjdk-17-jdk-headless), or leave SPICE out"
        )
    return version < _NASHORN_REMOVED


def _parse_scores(file: Path, images: int) -> Floats:
    try:
        scores = {image["image_id"]: image["scores"]["All"]["f"] for image in json.loads(file.read_text("utf-8"))}
        return np.array([float(scores[index]) for index in range(images)])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadConfig(
            f"SPICE's Java program ended without an error, but wrote no score for each of {images} images ({error!r}); "
            "leave SPICE out"
        ) from error


def _ensure_corenlp(module: ModuleType) -> None:
    """Downloads CoreNLP unless it is there. Rejected: pycocoevalcap's function, which prints and leaves partial
    files."""
    folder = module_folder(module) / module.SPICELIB
    jars = [f"{module.JAR}.jar", f"{module.JAR}-models.jar"]
    if all((folder / jar).is_file() for jar in jars):
        return
    url = f"https://nlp.stanford.edu/software/{module.CORENLP}.zip"
    _LOG.warning("SPICE needs the parser Stanford CoreNLP: fetching 400 MB, once, from %s to %s", url, folder)
    try:
        with tempfile.TemporaryDirectory(dir=folder) as name:  # on the same disk, so that the jars can be renamed
            archive_path = Path(name, "corenlp.zip")
            with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response, archive_path.open("wb") as file:
                shutil.copyfileobj(response, file)
            with zipfile.ZipFile(archive_path) as archive:
                extracted = [Path(archive.extract(f"{module.CORENLP}/{jar}", name)) for jar in jars]
            for jar in extracted:
                jar.replace(folder / jar.name)
    except (OSError, http.client.HTTPException, zipfile.BadZipFile, KeyError) as error:
        raise BadConfig(
            f"SPICE needs the parser Stanford CoreNLP, and fetching {url} (400 MB) to {folder} failed ({error}); "
            f"put {' and '.join(jars)} from that file there, or leave SPICE out"
        ) from error
