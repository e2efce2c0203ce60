"""Photos to captions: the public class, and the pipeline behind `showtell caption`.

Threads load and resize the next photos while the network works on a batch. At most two batches wait, so memory does not
depend on the number of photos.
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
from showtell.core.search import Hypothesis
from showtell.core.sources import ImageInput
from showtell.core.stepper import Stepper
from showtell.core.teacher_forced import TeacherForcedScore, score_captions
from showtell.core.tokenizer import Tokenizer
from showtell.errors import BadBundle, BadConfig, BadImage
from showtell.languages.tags import lenient_tag
from showtell.loading import LOADER_THREADS
from showtell.records import Caption, CaptionRow, Word
from showtell.settings import DecodeSettings

PreprocessedImage = tuple[np.ndarray, ...]
"""A photo as uint8 [H, W, 3], once per pixel settings: the members of an ensemble may differ in theirs."""


@dataclass(frozen=True)
class GenerationOptions:
    """Options of a request, checked against the model; photos with equal options can share a batch. Made by
    `Captioner.generation_options`."""

    language: str
    num: int
    """Captions per photo, at most."""
    attention: bool
    decode: DecodeSettings


class Captioner:
    """Writes captions with one model, or an ensemble.

    Not thread-safe, except for `generation_options` and `preprocess`: create one per thread, or batch.
    """

    def __init__(self, bundle: Bundle, stepper: Stepper, others: Sequence[Bundle] = ()) -> None:
        """`others`: the bundles of the members after the first, where `stepper` is an Ensemble."""
        self.bundle, self.stepper, self.bundles = bundle, stepper, (bundle, *others)
        manifests = [member.manifest for member in self.bundles]
        limits = (manifest.max_length for manifest in manifests if manifest.max_length is not None)
        self.max_length = min(limits, default=None)
        """Tokens of the longest caption that every member has position embeddings for; None: no limit."""
        self._pixel_settings = tuple(dict.fromkeys(manifest.pixels for manifest in manifests))
        # Attention maps can only be averaged where their regions are the same parts of the photo.
        self.has_common_grid = len({(manifest.grid, manifest.pixels.crop_mode) for manifest in manifests}) == 1
        # One model's calibration does not hold for the scores of an ensemble.
        self._calibration = {} if others else bundle.manifest.calibration

    @classmethod
    def load(cls, model: str | Path | Sequence[str | Path] | None = None, threads: int = 0) -> Captioner:
        """The built-in model, or one that `showtell export` wrote to a folder. `threads` 0: all cores.

        Several folders are an ensemble (see `core/ensemble`), with the first one's decode settings, no calibration, and
        attention only where all have the same grid.

        Raises BadBundle, naming the first problem of a folder, or two folders with different vocabularies.
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
        return tuple(language for language in self.languages if language in self._calibration)

    def settings(self, **changes: Any) -> DecodeSettings:
        """The (first) bundle's decode settings with those changes that are not None. Raises BadConfig for a bad one."""
        overrides = {key: value for key, value in changes.items() if value is not None}
        defaults = self.bundle.manifest.decode.model_dump()
        if self.max_length is not None:  # another member may have fewer position embeddings
            defaults["max_length"] = min(defaults["max_length"], self.max_length)
        try:
            return DecodeSettings.model_validate({**defaults, **overrides})
        except ValidationError as error:
            raise BadConfig("; ".join(_describe(problem) for problem in error.errors())) from error

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
        options = self.generation_options(language, 1, attention, decode)
        return self.caption_preprocessed([self.preprocess(image)], options)[0][0]

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

        `num` captions each, at most as many as `decode.beam_size`. Raises BadConfig for a language that the model does
        not have and for `num` or `batch_size` out of range, before any image is read.
        """
        options = self.generation_options(language, num, attention, decode)
        if batch_size < 1:
            raise BadConfig(f"found batch size {batch_size}; expected 1 or more")
        return self._rows(iter(images), batch_size, options)

    def generation_options(
        self,
        language: str | None = None,
        num: int = 1,
        attention: bool = False,
        decode: DecodeSettings | None = None,
    ) -> GenerationOptions:
        """The options of `caption_many`, checked. Raises BadConfig as it does."""
        settings = decode or self.settings()
        if not 1 <= num <= settings.beam_size:
            raise BadConfig(
                f"found num {num} with beam size {settings.beam_size}; expected 1 to {settings.beam_size}, or a larger "
                "beam"
            )
        if self.max_length is not None and settings.max_length > self.max_length:
            raise BadConfig(
                f"found max_length {settings.max_length}; this model writes at most {self.max_length} tokens"
            )
        return GenerationOptions(self._language(language), num, attention, settings)

    def _rows(self, images: Iterator[Any], batch_size: int, options: GenerationOptions) -> Iterator[CaptionRow]:
        for batch in self._preprocessed_batches(images, batch_size):
            good = [pixels for _, pixels in batch if not isinstance(pixels, BadImage)]
            captions = iter(self.caption_preprocessed(good, options) if good else [])
            for image, pixels in batch:
                if isinstance(pixels, BadImage):
                    yield CaptionRow(image, error=pixels.code, detail=pixels.detail)
                else:
                    yield CaptionRow(image, next(captions))

    def score_captions(
        self,
        images: Iterable[Any],
        captions: Iterable[Sequence[str]],
        *,
        batch_size: int = 32,
        language: str | None = None,
    ) -> Iterator[TeacherForcedScore | None]:
        """Teacher-forced loss and top-5 accuracy on each image's reference `captions`; None for an image that cannot be
        used.

        Raises BadConfig for a language that the model does not have, and for a vocabulary with pieces of words: only
        training knows how to split a caption into them.
        """
        language, tokenizer = self._language(language), self.bundle.tokenizer
        if tokenizer.needs_pretokenization:
            raise BadConfig(
                "this model's vocabulary has pieces of words, and only training can split captions into them"
            )
        ids = ([tokenizer.encode(text, language, self.max_length) for text in references] for references in captions)
        return self._scores(iter(images), ids, batch_size)

    def _scores(
        self, images: Iterator[Any], captions: Iterator[list[list[int]]], batch_size: int
    ) -> Iterator[TeacherForcedScore | None]:
        for batch in self._preprocessed_batches(images, batch_size):
            good = [pixels for _, pixels in batch if not isinstance(pixels, BadImage)]
            references = [
                ids
                for ids, (_, pixels) in zip(itertools.islice(captions, len(batch)), batch, strict=True)
                if not isinstance(pixels, BadImage)
            ]
            scores = iter(score_captions(self.stepper, self._encode(good), references) if good else [])
            yield from (None if isinstance(pixels, BadImage) else next(scores) for _, pixels in batch)

    def _preprocessed_batches(
        self, images: Iterator[Any], batch_size: int
    ) -> Iterator[list[tuple[Any, PreprocessedImage | BadImage]]]:
        """Batches of images with their pixels, or with the error."""
        pool = ThreadPoolExecutor(LOADER_THREADS, thread_name_prefix="showtell-load")
        pending: deque[tuple[Any, Future[PreprocessedImage | BadImage]]] = deque()
        try:
            while True:
                free = 2 * batch_size - len(pending)
                pending.extend(
                    (image, pool.submit(self._preprocessed_or_error, image)) for image in itertools.islice(images, free)
                )
                if not pending:
                    return
                batch = [pending.popleft() for _ in range(min(batch_size, len(pending)))]
                yield [(image, future.result()) for image, future in batch]
        finally:
            pool.shutdown(cancel_futures=True)

    def preprocess(self, image: Any, max_pixels: int = MAX_PIXELS) -> PreprocessedImage:
        """The network's input, loaded once and resized for each pixel settings; thread-safe.

        Raises BadImage when the image cannot be used.
        """
        if isinstance(image, ImageInput):
            if image.error is not None:
                raise image.error
            image = image.path if image.read is None else image.read
        loaded = load_image(image, max_pixels=max_pixels, hint_size=max(pixels.size for pixels in self._pixel_settings))
        return tuple(resize(loaded, pixels) for pixels in self._pixel_settings)

    def _preprocessed_or_error(self, image: Any) -> PreprocessedImage | BadImage:
        try:
            return self.preprocess(image)
        except BadImage as error:
            return error

    def caption_preprocessed(
        self, photos: Sequence[PreprocessedImage], options: GenerationOptions
    ) -> list[tuple[Caption, ...]]:
        """One batch: the captions of each of the photos (one or more), best first."""
        results = decode(
            self.stepper,
            self._encode(photos),
            len(photos),
            self.bundle.tokenizer,
            options.language,
            options.decode,
            options.num,
            options.attention and self.has_common_grid,
        )
        return [
            tuple(self._caption(hypothesis, options.language) for hypothesis in hypotheses) for hypotheses in results
        ]

    def _encode(self, photos: Sequence[PreprocessedImage]) -> Any:
        """The memory of the photos, of the network or of every member of an ensemble."""
        stacks = [np.stack(images) for images in zip(*photos, strict=True)]
        pairs = zip(self._pixel_settings, stacks, strict=True)
        pixels = {settings: normalise(stack, settings) for settings, stack in pairs}
        inputs = [pixels[member.manifest.pixels] for member in self.bundles]
        return self.stepper.encode(inputs if len(inputs) > 1 else inputs[0])

    def _caption(self, hypothesis: Hypothesis, language: str) -> Caption:
        """Join tokens to words: a word's probability is the product of its tokens', its attention their mean."""
        tokenizer: Tokenizer = self.bundle.tokenizer
        words = tokenizer.join_pieces(hypothesis.tokens)
        counts = np.array([count for _, count in words], np.int64)  # tokens of each word
        starts = counts.cumsum() - counts
        log_probs = np.add.reduceat(hypothesis.log_probs[:-1].astype(np.float64), starts)
        attention = hypothesis.attention
        if attention is not None:
            mean = np.add.reduceat(attention, starts) / counts[:, None]  # [T, S]
            attention = mean.reshape(len(words), *self.bundle.manifest.grid).astype(np.float32)
        return Caption(
            text=tokenizer.decode(hypothesis.tokens),
            score=hypothesis.score,
            confidence=confidence(hypothesis.score, self._calibration.get(language)),
            words=tuple(Word(word, float(log_prob)) for (word, _), log_prob in zip(words, log_probs, strict=True)),
            language=language,
            attention=attention,
        )

    def _language(self, language: str | None) -> str:
        if language is None:
            return self.languages[0]
        tag = lenient_tag(language)
        if tag not in self.languages:
            raise BadConfig(f"found language {language!r}; this model writes {', '.join(self.languages)}")
        return tag


def _stepper(bundle: Bundle, threads: int) -> OnnxStepper:
    stepper = OnnxStepper(bundle.encoder, bundle.decoder, threads)
    if stepper.vocab_size != bundle.tokenizer.vocab_size:
        raise BadBundle(
            f"{bundle.decoder}: the network has {stepper.vocab_size} tokens, the tokenizer "
            f"{bundle.tokenizer.vocab_size}; export the model again"
        )
    return stepper


def _describe(error: Mapping[str, Any]) -> str:
    """A validation error of pydantic, of one field or of several together."""
    where = ".".join(map(str, error["loc"]))
    return f"{where}: found {error['input']}; {error['msg']}" if where else error["msg"]
