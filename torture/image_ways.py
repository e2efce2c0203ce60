"""The four ways of an image into showtell: library, bulk run, training, server. All must come to the same verdict.

The model is a stand-in whose caption is the mean colour of what it was given, so that a caption of another image shows;
on some of the chunks the built-in model captions as well. Everything before the model is the real code.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from unittest import mock

import httpx
import numpy as np
import torch
from PIL import Image
from tests.cli.in_process import showtell
from tests.serve.doubles import QuickCaptioner
from tests.serve.running import Running

from showtell.core.captioner import Captioner
from showtell.core.image import load_image
from showtell.core.pixels import resize
from showtell.errors import BadData, BadImage
from showtell.records import Sample
from showtell.serve.server import ServerConfig
from showtell.settings import EncoderSettings, PixelSettings
from showtell.train.features import extract_features
from torture.harness import Note, Tally
from torture.image_case import Case

MAX_SECONDS: Final = 2.0
"""Of the processor, for one image in the library."""
MAX_EXTRA_MIB: Final = 512.0
"""Memory of the process above what it had before."""
BATCH: Final = 16
"""Images in one request."""
SERVER_LIMITS: Final = {"body_bytes": 512 << 20, "image_pixels": 80_000_000}
"""As the library's, so that all ways have the same verdict."""
FINE: Final = "accepted"


def verdict(load: Callable[[], Any]) -> str:
    """`accepted`, or the code of the BadImage; whatever else is raised is the fault of showtell."""
    try:
        load()
    except BadImage as error:
        return error.code
    return FINE


def library(case: Case, file: Path, name: str, tally: Tally) -> str:
    """`load_image`, from file and from bytes, within the limits of time and memory. Returns the verdict."""
    loaded: list[Image.Image] = []
    before, begin = _reset_peak(), time.process_time()
    try:
        found = verdict(lambda: loaded.append(load_image(file)))
    except Exception as error:  # noqa: BLE001 (any error is a finding)
        tally.fail(name, f"load_image raised {type(error).__name__}: {error}")
        return "error"
    seconds, extra = time.process_time() - begin, _peak() - before
    tally.measure("seconds", seconds)
    tally.measure("extra MiB", extra)
    if seconds > MAX_SECONDS:
        tally.fail(name, f"took {seconds:.1f} s of the processor; expected {MAX_SECONDS:g}")
    if extra > MAX_EXTRA_MIB:
        tally.fail(name, f"took {extra:.0f} MiB more; expected {MAX_EXTRA_MIB:g}")
    from_bytes = verdict(lambda: loaded.append(load_image(case.data)))
    if from_bytes != found or (found == FINE and loaded[0].tobytes() != loaded[1].tobytes()):
        tally.fail(name, f"{found} from its file, {from_bytes} from its bytes")
    _check_verdict(case, found, loaded[0] if found == FINE else None, name, tally)
    return found


def _check_verdict(case: Case, found: str, image: Image.Image | None, name: str, tally: Tally) -> None:
    if image is None:
        if case.pixels is not None:
            tally.fail(name, f"refused as {found}; expected its pixels")
        elif case.codes and found not in case.codes:
            tally.fail(name, f"refused as {found}; expected {' or '.join(case.codes)}")
        return
    if image.mode != "RGB":
        tally.fail(name, f"the mode {image.mode}; expected RGB")
    if case.codes:
        tally.fail(name, f"accepted; expected {' or '.join(case.codes)}")
    if case.pixels is None:
        return
    pixels = np.asarray(image)
    if pixels.shape != case.pixels.shape:
        tally.fail(name, f"an image of {pixels.shape}; expected {case.pixels.shape}")
    elif (difference := int(np.abs(pixels.astype(int) - case.pixels).max())) > case.tolerance:
        tally.fail(name, f"pixels that differ by {difference}; expected {case.tolerance} at most")


class Ways:
    """What the ways share within one process: a captioner, a server, an encoder."""

    def __init__(self) -> None:
        self.captioner = QuickCaptioner()
        self.server = Running(ServerConfig(page=False), **SERVER_LIMITS)
        self.encoder: Any = _PixelsAsTheyAre(self.captioner.bundle.manifest.pixels)
        self.client = httpx.Client(timeout=120)

    def expected(self, files: Sequence[Path], verdicts: Sequence[str]) -> list[str]:
        """The caption of each image, or its code."""
        return [self._caption(file) if found == FINE else found for file, found in zip(files, verdicts, strict=True)]

    def _caption(self, file: Path) -> str:
        views = self.captioner.preprocess(file)
        return " ".join(str(round(float(c))) for c in views[0].mean(axis=(0, 1)))

    def bulk(self, files: Sequence[Path], output: Path) -> list[str]:
        """`showtell caption --output`: the rows, in the order of the file."""
        with mock.patch.object(Captioner, "load", lambda *_, **__: self.captioner):
            return _rows(files, output)

    def training(self, files: Sequence[Path], verdicts: Sequence[str], cache: Path, tally: Tally) -> None:
        """Feature extraction: whole images as they are, in one go; any other stops it, and is named."""
        samples = [Sample(file.name, file, ("a dog",), "train", "en") for file in files]
        good = [sample for sample, found in zip(samples, verdicts, strict=True) if found == FINE]
        views = self._extract(good, cache).views[0] if good else ()
        for sample, stored in zip(good, views, strict=True):
            if not np.array_equal(stored, resize(load_image(sample.image), self.encoder.pixels)):
                tally.fail(sample.name, "training: other pixels than those of the library")
        for sample, found in zip(samples, verdicts, strict=True):
            if found == FINE:
                continue
            try:
                self._extract([sample], cache)
                tally.fail(sample.name, f"training took it; the library has {found}")
            except BadData as error:
                if not str(error).startswith(f"{sample.name}: found {found} ("):
                    tally.fail(sample.name, f"training says: {error}; expected its name and {found}")

    def _extract(self, samples: Sequence[Sample], cache: Path) -> Any:
        settings = EncoderSettings(name="none", pretrained=False)
        return extract_features(self.encoder, settings, samples, 1, 0, lambda n: None, cache)

    def upload(self, files: Sequence[Path]) -> Iterator[str]:
        """Through the server, some in each request: the caption or code of each."""
        for begin in range(0, len(files), BATCH):
            batch = files[begin : begin + BATCH]
            images = [("images", (file.name, file.read_bytes())) for file in batch]
            answer = self.client.post(f"{self.server.url}/v1/caption", files=images)
            if answer.status_code != 200:
                yield from [f"status {answer.status_code}: {answer.text[:200]}"] * len(batch)
                continue
            for result in answer.json()["results"]:
                yield result["captions"][0]["text"] if "captions" in result else result["error"]["code"]


class _PixelsAsTheyAre(torch.nn.Module):
    """In the place of an encoder without frozen stages: what is cached are the resized pixels."""

    def __init__(self, pixels: PixelSettings) -> None:
        super().__init__()
        self.frozen = torch.nn.ModuleList()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.pixels, self.companion = pixels, None


def built_in_model(files: Sequence[Path], output: Path) -> list[str]:
    """`accepted` or a code for each row of a bulk run with the model that is inside the package."""
    rows = _rows(files, output, "--beam", "1", "--threads", "1")
    return [FINE if " " in row else row for row in rows]


def _rows(files: Sequence[Path], output: Path, *options: str) -> list[str]:
    done = showtell("caption", *files, "--output", output, *options)
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    if [line["image"] for line in lines] != [str(file) for file in files]:
        raise AssertionError(f"{len(lines)} rows of {len(files)} images, or in another order: {done.stderr[-300:]}")
    return [line.get("error") or line["caption"] for line in lines]


def compare(way: str, files: Sequence[Path], found: Sequence[str], expected: Sequence[str], tally: Tally) -> None:
    if len(found) != len(expected):
        tally.fail(way, f"{len(found)} answers for {len(expected)} images")
    for file, one, other in zip(files, found, expected, strict=False):
        if one != other:
            tally.fail(file.name, f"{way}: {one}; expected {other}")


def _reset_peak() -> float:
    """Memory of the process now, in MiB; the peak counts from here."""
    with contextlib.suppress(OSError):  # some containers forbid it: then the peak is that of the whole process
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _status(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {key} in /proc/self/status; expected Linux")


def check_chunk(cases: Sequence[tuple[str, Case]], folder: Path, ways: Ways, with_model: bool, note: Note) -> Tally:
    """All cases, named, through all ways; files are written into `folder`."""
    tally, files, verdicts = Tally(), [], []
    for name, case in cases:
        note(name)
        files.append(folder / f"{name}-{hashlib.sha256(case.data).hexdigest()[:8]}{case.suffix}")
        files[-1].write_bytes(case.data)
        verdicts.append(library(case, files[-1], name, tally))
        tally.counts.update([verdicts[-1], "images"])
    expected = ways.expected(files, verdicts)
    note(f"{cases[0][0]} and those after it, in bulk")
    compare("bulk", files, ways.bulk(files, folder / "rows.jsonl"), expected, tally)
    note(f"{cases[0][0]} and those after it, in training")
    ways.training(files, verdicts, folder / "cache", tally)
    note(f"{cases[0][0]} and those after it, at the server")
    compare("server", files, list(ways.upload(files)), expected, tally)
    if with_model:
        note(f"{cases[0][0]} and those after it, with the built-in model")
        compare("model", files, built_in_model(files, folder / "model.jsonl"), verdicts, tally)
        tally.counts["images with the built-in model"] += len(files)
    return tally
