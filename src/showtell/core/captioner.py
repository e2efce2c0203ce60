"""Photos to captions: the class that a program uses, and the pipeline behind `showtell caption`.

Threads load and resize the next photos while the network works on a batch. No more than two batches wait at a time, so
memory does not depend on the number of photos.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from showtell.core.bundle import Bundle, builtin, load_bundle
from showtell.core.confidence import confidence
from showtell.core.decode import decode
from showtell.core.ensemble import Ensemble, check_together
from showtell.core.image import MAX_PIXELS, load_image
from showtell.core.onnx_stepper import OnnxStepper
from showtell.core.pixels import normalise, resize
from showtell.core.reading import Reading, read_captions
from showtell.core.search import Hypothesis
from showtell.core.sources import Found
from showtell.core.stepper import Stepper
from showtell.core.text import Text
from showtell.errors import BadBundle, BadConfig, BadImage
from showtell.records import Caption, CaptionRow, Word
from showtell.settings import DecodeSettings

LOADERS = 2
"""Threads that load photos; decoding a JPEG takes a tenth of the network's time for it."""

Prepared = tuple[np.ndarray, ...]
"""A photo as uint8 [H, W, 3], once for each way in which models want it: once, unless they are an ensemble."""


@dataclass(frozen=True)
class Ask:
    """What is wanted of a photo, checked against the model; equal ones can share a batch. Made by `Captioner.ask`."""

    language: str
    num: int
    """Captions of each photo, at most."""
    attention: bool
    decode: DecodeSettings


class Captioner:
    """Writes captions with one model, or an ensemble.

    Not for several threads at once, except for `ask` and `prepare`: make one each, or batch.
    """

    def __init__(self, bundle: Bundle, stepper: Stepper, others: Sequence[Bundle] = ()) -> None:
        """`others`: the bundles of the members after the first, where `stepper` is an Ensemble."""
        self.bundle, self.stepper, self.bundles = bundle, stepper, (bundle, *others)
        manifests = [each.manifest for each in self.bundles]
        self.longest = min((each.longest for each in manifests if each.longest is not None), default=None)
        """Words of the longest caption that all of the model has positions for; None: it has no limit."""
        self._views = tuple(dict.fromkeys(each.pixels for each in manifests))
        # Maps of attention can only be averaged where their regions are the same parts of the photo.
        self.has_one_grid = len({(each.grid, each.pixels.crop) for each in manifests}) == 1
        # What was learned of one model's scores says nothing of those of an ensemble.
        self._calibration = {} if others else bundle.manifest.calibration

    @classmethod
    def load(cls, model: str | Path | Sequence[str | Path] | None = None, threads: int = 0) -> Captioner:
        """The built-in model, or one that `showtell export` wrote to a folder. `threads` 0: all cores.

        Several folders are an ensemble (see `core/ensemble`), with the first one's decode settings, no calibration, and
        attention only where all look at the same grid.

        Raises BadBundle, naming the first thing that is wrong with a folder, or two that do not write the same words.
        """
        folders = [builtin()] if model is None else [model] if isinstance(model, str | Path) else model
        if not folders:
            raise BadBundle("found no model folder; expected one or more, or None for the built-in model")
        bundles = [load_bundle(Path(folder)) for folder in folders]
        check_together(bundles)
        steppers = [_stepper(bundle, threads) for bundle in bundles]
        return cls(bundles[0], steppers[0] if len(steppers) == 1 else Ensemble(steppers), bundles[1:])

    @property
    def languages(self) -> tuple[str, ...]:
        return self.bundle.manifest.languages

    @property
    def calibrated(self) -> tuple[str, ...]:
        """Languages in which `Caption.confidence` is a probability."""
        return tuple(each for each in self.languages if each in self._calibration)

    def settings(self, **changes: Any) -> DecodeSettings:
        """The (first) bundle's decode settings with those changes that are not None. Raises BadConfig for a bad one."""
        wanted = {key: value for key, value in changes.items() if value is not None}
        usual = self.bundle.manifest.decode.model_dump()
        if self.longest is not None:  # another member may have fewer positions than the settings' own
            usual["max_length"] = min(usual["max_length"], self.longest)
        try:
            return DecodeSettings.model_validate({**usual, **wanted})
        except ValidationError as error:
            raise BadConfig("; ".join(_problem(each) for each in error.errors())) from error

    def caption(
        self,
        image: Any,
        *,
        language: str | None = None,
        attention: bool = False,
        decode: DecodeSettings | None = None,
    ) -> Caption:
        """The caption of one image: a path, bytes, a file object, a PIL image or an array [H, W, 3] of uint8.

        Raises BadImage when the image cannot be used; see `caption_many` for the rest.
        """
        ask = self.ask(language, 1, attention, decode)
        return self.caption_prepared([self.prepare(image)], ask)[0][0]

    def caption_many(
        self,
        images: Iterable[Any],
        *,
        batch_size: int = 32,
        language: str | None = None,
        num: int = 1,
        attention: bool = False,
        decode: DecodeSettings | None = None,
    ) -> Iterator[CaptionRow]:
        """One row per image, lazily and in order; an image that cannot be used is a row with an error code.

        `num` captions each, at most as many as `decode.beam`. Raises BadConfig for a language that the model does not
        write and for `num` or `batch_size` out of range, before it looks at an image.
        """
        ask = self.ask(language, num, attention, decode)
        if batch_size < 1:
            raise BadConfig(f"found batch size {batch_size}; expected 1 or more")
        return self._rows(iter(images), batch_size, ask)

    def ask(
        self,
        language: str | None = None,
        num: int = 1,
        attention: bool = False,
        decode: DecodeSettings | None = None,
    ) -> Ask:
        """What `caption_many` is asked for, checked. Raises BadConfig as it does."""
        settings = decode or self.settings()
        if not 1 <= num <= settings.beam:
            raise BadConfig(
                f"found num {num} with beam {settings.beam}; expected 1 to {settings.beam}, or a wider beam"
            )
        if self.longest is not None and settings.max_length > self.longest:
            raise BadConfig(f"found max_length {settings.max_length}; this model writes at most {self.longest} words")
        return Ask(self._language(language), num, attention, settings)

    def _rows(self, images: Iterator[Any], batch_size: int, ask: Ask) -> Iterator[CaptionRow]:
        for prepared in self._prepared(images, batch_size):
            good = [views for _, views in prepared if not isinstance(views, BadImage)]
            captions = iter(self.caption_prepared(good, ask) if good else [])
            for image, views in prepared:
                if isinstance(views, BadImage):
                    yield CaptionRow(image, error=views.code, detail=views.detail)
                else:
                    yield CaptionRow(image, next(captions))

    def read_many(
        self,
        images: Iterable[Any],
        captions: Iterable[Sequence[str]],
        *,
        batch_size: int = 32,
        language: str | None = None,
    ) -> Iterator[Reading | None]:
        """How well the model continues each image's `captions`, reading their true words; None for an image that cannot
        be used.

        Raises BadConfig for a language that the model does not write, and for a model that writes words in pieces: how
        to cut the captions of others is known to its training only.
        """
        spoken, text = self._language(language), self.bundle.text
        if text.takes_pieces:
            raise BadConfig("this model spells words in pieces, and only its training knows how to cut a caption so")
        ids = ([text.encode(caption, spoken, self.longest) for caption in each] for each in captions)
        return self._readings(iter(images), ids, batch_size)

    def _readings(
        self, images: Iterator[Any], captions: Iterator[list[list[int]]], batch_size: int
    ) -> Iterator[Reading | None]:
        for prepared in self._prepared(images, batch_size):
            good = [views for _, views in prepared if not isinstance(views, BadImage)]
            true = list(itertools.islice(captions, len(prepared)))
            true = [each for each, (_, of) in zip(true, prepared, strict=True) if not isinstance(of, BadImage)]
            found = iter(read_captions(self.stepper, self._memory(good), true) if good else [])
            yield from (None if isinstance(of, BadImage) else next(found) for _, of in prepared)

    def _prepared(self, images: Iterator[Any], batch_size: int) -> Iterator[list[tuple[Any, Prepared | BadImage]]]:
        """Batches of images with their pixels, or with what is wrong."""
        pool = ThreadPoolExecutor(LOADERS, thread_name_prefix="showtell-load")
        waiting: deque[tuple[Any, Future[Prepared | BadImage]]] = deque()
        try:
            while True:
                room = 2 * batch_size - len(waiting)
                waiting.extend(
                    (image, pool.submit(self._prepared_or_error, image)) for image in itertools.islice(images, room)
                )
                if not waiting:
                    return
                taken = [waiting.popleft() for _ in range(min(batch_size, len(waiting)))]
                yield [(image, future.result()) for image, future in taken]
        finally:
            pool.shutdown(cancel_futures=True)

    def prepare(self, image: Any, max_pixels: int = MAX_PIXELS) -> Prepared:
        """The photo as the network wants it, loaded once however many views there are; for any thread.

        Raises BadImage when the image cannot be used.
        """
        if isinstance(image, Found):
            if image.error is not None:
                raise image.error
            image = image.path if image.read is None else image.read
        loaded = load_image(image, max_pixels=max_pixels, hint_size=max(view.size for view in self._views))
        return tuple(resize(loaded, view) for view in self._views)

    def _prepared_or_error(self, image: Any) -> Prepared | BadImage:
        try:
            return self.prepare(image)
        except BadImage as error:
            return error

    def caption_prepared(self, photos: Sequence[Prepared], ask: Ask) -> list[tuple[Caption, ...]]:
        """One batch: the captions of each of the photos (one or more), best first."""
        looks = ask.attention and self.has_one_grid
        found = decode(
            self.stepper,
            self._memory(photos),
            len(photos),
            self.bundle.text,
            ask.language,
            ask.decode,
            ask.num,
            looks,
        )
        return [tuple(self._caption(hypothesis, ask.language) for hypothesis in each) for each in found]

    def _memory(self, images: Sequence[Prepared]) -> Any:
        """What the network, or every member of an ensemble, makes of the photos."""
        stacks = [np.stack(views) for views in zip(*images, strict=True)]
        pixels = {view: normalise(stack, view) for view, stack in zip(self._views, stacks, strict=True)}
        each = [pixels[bundle.manifest.pixels] for bundle in self.bundles]
        return self.stepper.encode(each if len(each) > 1 else each[0])

    def _caption(self, hypothesis: Hypothesis, language: str) -> Caption:
        """Pieces become whole words: a word's probability is the product of its pieces', its attention their mean."""
        text: Text = self.bundle.text
        words = text.words(hypothesis.words)
        counts = np.array([count for _, count in words], np.int64)  # pieces of each word
        begins = counts.cumsum() - counts
        log_probs = np.add.reduceat(hypothesis.log_probs[:-1].astype(np.float64), begins)
        attention = hypothesis.attention
        if attention is not None:
            mean = np.add.reduceat(attention, begins) / counts[:, None]  # [T, S]
            attention = mean.reshape(len(words), *self.bundle.manifest.grid).astype(np.float32)
        return Caption(
            text=text.decode(hypothesis.words),
            score=hypothesis.score,
            confidence=confidence(hypothesis.score, self._calibration.get(language)),
            words=tuple(Word(word, float(p)) for (word, _), p in zip(words, log_probs, strict=True)),
            language=language,
            attention=attention,
        )

    def _language(self, language: str | None) -> str:
        if language is None:
            return self.languages[0]
        if language not in self.languages:
            raise BadConfig(f"found language {language!r}; this model writes {', '.join(self.languages)}")
        return language


def _stepper(bundle: Bundle, threads: int) -> OnnxStepper:
    stepper = OnnxStepper(bundle.encoder, bundle.decoder, threads)
    if stepper.vocabulary != bundle.text.size:
        raise BadBundle(
            f"{bundle.decoder}: the network has {stepper.vocabulary} words, the tokenizer {bundle.text.size}; "
            "export the model again"
        )
    return stepper


def _problem(error: Mapping[str, Any]) -> str:
    """One of pydantic's, of a field or of how several fit together."""
    where = ".".join(map(str, error["loc"]))
    return f"{where}: found {error['input']}; {error['msg']}" if where else error["msg"]
