"""Photos to captions: the class that a program uses, and the pipeline behind `showtell caption`.

Threads load and resize the next photos while the network works on a batch. No more than two batches wait at a time, so
memory does not depend on the number of photos.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from showtell.core.bundle import Bundle, builtin, load_bundle
from showtell.core.decode import decode
from showtell.core.image import load_image
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


class Captioner:
    """Writes captions with one model. Not for several threads at once: make one each, or batch."""

    def __init__(self, bundle: Bundle, stepper: Stepper) -> None:
        self.bundle, self.stepper = bundle, stepper

    @classmethod
    def load(cls, model: str | Path | None = None, threads: int = 0) -> Captioner:
        """The built-in model, or one that `showtell export` wrote to a folder. `threads` 0: all cores.

        Raises BadBundle, naming the first thing that is wrong with the folder.
        """
        bundle = load_bundle(builtin() if model is None else Path(model))
        stepper = OnnxStepper(bundle.encoder, bundle.decoder, threads)
        if stepper.vocabulary != bundle.text.size:
            raise BadBundle(
                f"{bundle.decoder}: the network has {stepper.vocabulary} words, the tokenizer {bundle.text.size}; "
                "export the model again"
            )
        return cls(bundle, stepper)

    @property
    def languages(self) -> tuple[str, ...]:
        return self.bundle.manifest.languages

    def settings(self, **changes: Any) -> DecodeSettings:
        """The bundle's decode settings with those changes that are not None. Raises BadConfig for a bad value."""
        wanted = {key: value for key, value in changes.items() if value is not None}
        try:
            return DecodeSettings.model_validate({**self.bundle.manifest.decode.model_dump(), **wanted})
        except ValidationError as error:
            problem = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise BadConfig(f"{problem}, found {wanted}") from error

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
        settings = decode or self.settings()
        self._check_length(settings)
        prepared = self._prepare(image)
        if isinstance(prepared, BadImage):
            raise prepared
        return self._network([prepared], self._language(language), settings, 1, attention)[0][0]

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
        settings = decode or self.settings()
        if not 1 <= num <= settings.beam:
            raise BadConfig(
                f"found num {num} with beam {settings.beam}; expected 1 to {settings.beam}, or a wider beam"
            )
        if batch_size < 1:
            raise BadConfig(f"found batch size {batch_size}; expected 1 or more")
        self._check_length(settings)
        return self._rows(iter(images), batch_size, self._language(language), settings, num, attention)

    def _rows(
        self, images: Iterator[Any], batch_size: int, language: str, settings: DecodeSettings, num: int, attention: bool
    ) -> Iterator[CaptionRow]:
        for prepared in self._prepared(images, batch_size):
            good = [pixels for _, pixels in prepared if not isinstance(pixels, BadImage)]
            captions = iter(self._network(good, language, settings, num, attention) if good else [])
            for image, pixels in prepared:
                if isinstance(pixels, BadImage):
                    yield CaptionRow(image, error=pixels.code, detail=pixels.detail)
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
        longest = self.bundle.manifest.longest
        ids = ([text.encode(caption, spoken, longest) for caption in each] for each in captions)
        return self._readings(iter(images), ids, batch_size)

    def _readings(
        self, images: Iterator[Any], captions: Iterator[list[list[int]]], batch_size: int
    ) -> Iterator[Reading | None]:
        for prepared in self._prepared(images, batch_size):
            pixels = [each for _, each in prepared if not isinstance(each, BadImage)]
            true = list(itertools.islice(captions, len(prepared)))
            true = [each for each, (_, of) in zip(true, prepared, strict=True) if not isinstance(of, BadImage)]
            found = iter(read_captions(self.stepper, self._memory(pixels), true) if pixels else [])
            yield from (None if isinstance(of, BadImage) else next(found) for _, of in prepared)

    def _prepared(self, images: Iterator[Any], batch_size: int) -> Iterator[list[tuple[Any, np.ndarray | BadImage]]]:
        """Batches of images with their pixels, or with what is wrong."""
        pool = ThreadPoolExecutor(LOADERS, thread_name_prefix="showtell-load")
        waiting: deque[tuple[Any, Future[np.ndarray | BadImage]]] = deque()
        try:
            while True:
                room = 2 * batch_size - len(waiting)
                waiting.extend((image, pool.submit(self._prepare, image)) for image in itertools.islice(images, room))
                if not waiting:
                    return
                taken = [waiting.popleft() for _ in range(min(batch_size, len(waiting)))]
                yield [(image, future.result()) for image, future in taken]
        finally:
            pool.shutdown(cancel_futures=True)

    def _prepare(self, image: Any) -> np.ndarray | BadImage:
        """uint8 [H, W, 3], or what is wrong; in a loader's thread."""
        settings = self.bundle.manifest.pixels
        try:
            if isinstance(image, Found):
                if image.error is not None:
                    return image.error
                image = image.path
            return resize(load_image(image, hint_size=settings.size), settings)
        except BadImage as error:
            return error

    def _network(
        self, images: list[np.ndarray], language: str, settings: DecodeSettings, num: int, attention: bool
    ) -> list[tuple[Caption, ...]]:
        found = decode(
            self.stepper, self._memory(images), len(images), self.bundle.text, language, settings, num, attention
        )
        return [tuple(self._caption(hypothesis, language) for hypothesis in each) for each in found]

    def _memory(self, images: list[np.ndarray]) -> Any:
        return self.stepper.encode(normalise(np.stack(images), self.bundle.manifest.pixels))

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
            words=tuple(Word(word, float(p)) for (word, _), p in zip(words, log_probs, strict=True)),
            language=language,
            attention=attention,
        )

    def _check_length(self, settings: DecodeSettings) -> None:
        longest = self.bundle.manifest.longest
        if longest is not None and settings.max_length > longest:
            raise BadConfig(f"found max_length {settings.max_length}; this model writes at most {longest} words")

    def _language(self, language: str | None) -> str:
        if language is None:
            return self.languages[0]
        if language not in self.languages:
            raise BadConfig(f"found language {language!r}; this model writes {', '.join(self.languages)}")
        return language
