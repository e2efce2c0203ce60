"""Photos to captions: the public class, and the pipeline behind `showtell caption`.

Threads load and resize the next photos while the network works on a batch (`load_ahead`). At most two batches wait, so
memory does not depend on the number of photos.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from showtell.core.arguments import (
    check_length,
    decode_settings,
    image_pairs,
    is_one_photo,
    model_folders,
    photos,
    references,
    text,
    true_or_false,
    whole_number,
)
from showtell.core.bundle import Bundle, builtin, load_bundle
from showtell.core.decode import decode
from showtell.core.ensemble import Ensemble, check_together, has_common_grid
from showtell.core.image import MAX_PIXELS, load_image
from showtell.core.load_ahead import load_ahead
from showtell.core.load_stepper import choose_runtime, load_stepper
from showtell.core.photo_source import advised, photo_source
from showtell.core.pixels import normalise, resize, resized_side
from showtell.core.reranker import Reranker, load_reranker
from showtell.core.runtimes.registry import DEFAULT
from showtell.core.stepper import Stepper
from showtell.core.teacher_forced import TeacherForcedScore, score_captions
from showtell.core.to_caption import to_caption
from showtell.errors import BadBundle, BadConfig, BadImage, ShowtellError
from showtell.languages.tags import lenient_tag
from showtell.records import Caption, CaptionRow
from showtell.settings import DecodeSettings

PreprocessedImage = tuple[np.ndarray, ...]
"""A photo as uint8 [H, W, 3], once per pixel settings: the members of an ensemble may differ in theirs."""


MAX_THREADS = 256


@dataclass(frozen=True)
class GenerationOptions:
    """Options of a request, checked against the model; photos with equal options can share a batch. Made by
    `Captioner.generation_options`."""

    language: str
    num: int
    """Captions per photo, at most."""
    attention: bool
    decode: DecodeSettings
    prompt: str | None = None
    """The beginning of every caption; None: the model's own."""


class Captioner:
    """Writes captions with one model, or an ensemble.

    Threads may share a captioner; an iterator that it returns belongs to one thread at a time. A forked process may use
    it, and loads the networks again for that. Pickled, it is the path of its model, and loads that again; a copy
    (`copy.copy`, `copy.deepcopy`) has the same networks.
    """

    def __init__(self, bundle: Bundle, stepper: Stepper, others: Sequence[Bundle] = ()) -> None:
        """`others`: the bundles of the members after the first, where `stepper` is an Ensemble."""
        self.bundle, self.stepper, self.bundles = bundle, stepper, (bundle, *others)
        manifests = [member.manifest for member in self.bundles]
        limits = (manifest.max_length for manifest in manifests if manifest.max_length is not None)
        self.max_length = min(limits, default=None)
        """Tokens that every member has position embeddings for after one start token; None: no limit."""
        self._pixel_settings = tuple(dict.fromkeys(manifest.pixels for manifest in manifests))
        # Attention maps can only be averaged where their regions are the same parts of the photo.
        self.has_common_grid = has_common_grid(manifests)
        self.max_pixels = MAX_PIXELS
        """Pixels of the largest photo, as `load_image` counts them."""
        # One model's calibration does not hold for the scores of an ensemble.
        self._calibration = {} if others else bundle.manifest.calibration
        self.reranker: Reranker | None = None
        """Chooses among the hypotheses of a beam, where the (first) model has one."""
        self.runtime, self.runtime_choice = "", ""
        """What runs the networks, and why where `load` chose it; of captioners that it made."""
        self._loaded_from: tuple[Any, ...] | None = None  # of the captioners that `load` made

    @classmethod
    def load(
        cls,
        model: str | PathLike[str] | Iterable[str | PathLike[str]] | None = None,
        threads: int = 0,
        max_pixels: int | None = None,
        runtime: str = DEFAULT,
    ) -> Captioner:
        """The built-in model, or one that `showtell export` wrote to a folder. `threads`, up to 256, of the network; 0:
        all cores. `max_pixels`: of the largest photo, as `load_image` counts them (None: MAX_PIXELS); others are
        `too_large`. `runtime`: what runs the networks, a name in `core.runtimes`, or "auto".

        Several folders are an ensemble (see `core/ensemble`), with the first one's decode settings, no calibration, and
        attention only where all have the same grid; and the first one's reranker.

        Raises BadBundle, naming the first problem of a folder, or two folders with different vocabularies; BadConfig
        for arguments that are no paths, or no number of threads or pixels, and for a runtime that there is none of, or
        no device for; MissingExtra for a runtime that is not installed.
        """
        threads = whole_number("threads", threads, 0, MAX_THREADS)
        max_pixels = MAX_PIXELS if max_pixels is None else whole_number("max_pixels", max_pixels, 1)
        bundles = [load_bundle(folder) for folder in ([builtin()] if model is None else model_folders(model))]
        check_together(bundles)
        runtime, why = choose_runtime(bundles[0], threads, runtime)
        steppers = [load_stepper(bundle, threads, runtime) for bundle in bundles]
        captioner = cls(bundles[0], steppers[0] if len(steppers) == 1 else Ensemble(steppers), bundles[1:])
        captioner.max_pixels = max_pixels
        if bundles[0].reranker is not None:
            captioner.reranker = load_reranker(bundles[0].reranker, steppers[0].pooled_channels)
        # Another machine has the built-in model elsewhere, another process perhaps another current folder.
        paths = [None if bundle.path == builtin() else bundle.path.absolute() for bundle in bundles]
        fingerprints = [bundle.fingerprint for bundle in bundles]
        captioner.runtime, captioner.runtime_choice = runtime, why
        captioner._loaded_from = threads, max_pixels, runtime, tuple(zip(paths, fingerprints, strict=True))
        return captioner

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._loaded_from is None:  # made of parts, which are pickled
            return super().__reduce_ex__(protocol)
        return _load_again, (type(self), *self._loaded_from)

    def __copy__(self) -> Captioner:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Captioner:
        return copy.copy(self)

    @property
    def languages(self) -> tuple[str, ...]:
        return self.bundle.manifest.languages

    @property
    def takes_prompt(self) -> bool:
        """Whether the model continues a given beginning of a caption."""
        text = self.bundle.manifest.imported_text
        return text is not None and text.takes_prompt

    @property
    def calibrated(self) -> tuple[str, ...]:
        """Languages in which `Caption.confidence` is a probability."""
        return tuple(language for language in self.languages if language in self._calibration)

    def settings(self, **changes: Any) -> DecodeSettings:
        """The (first) bundle's decode settings with those changes that are not None. Raises BadConfig for a bad one."""
        changes = {key: value for key, value in changes.items() if value is not None}
        defaults = self.bundle.manifest.decode.model_dump()
        if self.max_length is not None:  # another member may have fewer position embeddings
            defaults["max_length"] = min(defaults["max_length"], self.max_length)
        return decode_settings(defaults, changes)

    def caption(
        self,
        image: Any,
        *,
        language: str | None = None,
        attention: bool = False,
        decode: DecodeSettings | None = None,
        prompt: str | None = None,
    ) -> Caption:
        """The caption of one image: a path, bytes, a file opened in binary mode, a PIL image, an array or tensor
        [H, W, 3] of uint8, or a function that gives one of these.

        A file is read from its start and left at the position that it had; one without positions, such as a pipe, is
        read from where it is. Raises BadImage when the image cannot be used; see `caption_many` for the rest.
        """
        options = self.generation_options(language, 1, attention, decode, prompt)
        return self.caption_preprocessed([self.preprocess(image)], options)[0][0]

    def caption_many(
        self,
        images: Any,
        *,
        batch_size: int = 32,
        language: str | None = None,
        num: int = 1,
        attention: bool = False,
        decode: DecodeSettings | None = None,
        prompt: str | None = None,
    ) -> Iterator[CaptionRow]:
        """One row per image, lazily and in order; an image that cannot be used is a row with an error code.

        `images` is any iterable of what `caption` takes, an array [N, H, W, 3], or one image alone. Images are loaded
        some time after they have been taken from it, by threads. An error of the iterable itself is raised after the
        rows of the images before it.

        `num` captions each, at most as many as `decode.beam_size`. `prompt`: how every caption begins, where the model
        is made for it; None: as the model's own default says. It is the beginning of `Caption.text` and not among
        `Caption.words`. Raises BadConfig for a language that the model does not have, for a prompt that it does not
        take, for `num` or `batch_size` out of range, and for `images` that are none, before any image is read.
        """
        options = self.generation_options(language, num, attention, decode, prompt)
        batch_size = whole_number("batch_size", batch_size, 1)
        return self._rows(photos(images), batch_size, options)

    def generation_options(
        self,
        language: str | None = None,
        num: int = 1,
        attention: bool = False,
        decode: DecodeSettings | None = None,
        prompt: str | None = None,
    ) -> GenerationOptions:
        """The options of `caption_many`, checked. Raises BadConfig as it does."""
        settings = self.settings() if decode is None else decode
        if not isinstance(settings, DecodeSettings):
            raise BadConfig(f"decode: found {type(decode).__name__}; expected captioner.settings(beam_size=3) or None")
        num, attention = whole_number("num", num, 1), true_or_false("attention", attention)
        if num > settings.beam_size:
            raise BadConfig(
                f"found num {num} with beam size {settings.beam_size}; expected 1 to {settings.beam_size}, or a larger "
                "beam"
            )
        language, prompt = self._language(language), None if prompt is None else text("prompt", prompt)
        if self.max_length is not None:
            check_length(settings, len(self.bundle.tokenizer.prompt_ids(language, prompt)), self.max_length + 1)
        return GenerationOptions(language, num, attention, settings, prompt)

    def _rows(self, images: Iterator[Any], batch_size: int, options: GenerationOptions) -> Iterator[CaptionRow]:
        for batch in load_ahead(images, self.preprocess, batch_size):
            good = [pixels for _, pixels in batch if not isinstance(pixels, BaseException)]
            captions = iter(self.caption_preprocessed(good, options) if good else [])
            for image, pixels in batch:
                if isinstance(pixels, BadImage):
                    yield CaptionRow(image, error=pixels.code, detail=pixels.detail)
                elif isinstance(pixels, BaseException):
                    raise pixels
                else:
                    yield CaptionRow(image, next(captions))

    def score_captions(
        self,
        images: Any,
        captions: Iterable[str | Sequence[str]],
        *,
        batch_size: int = 32,
        language: str | None = None,
    ) -> Iterator[TeacherForcedScore | None]:
        """Teacher-forced loss and top-5 accuracy on each image's reference `captions`; None for an image that cannot be
        used. Where `images` is one image alone, all `captions` are of that.

        Raises BadConfig for a language that the model does not have, for a vocabulary with pieces of words (only
        training knows how to split a caption into them), for captions that are no texts, and for more or fewer of them
        than images.
        """
        batch_size = whole_number("batch_size", batch_size, 1)
        language, tokenizer = self._language(language), self.bundle.tokenizer
        if tokenizer.needs_pretokenization:
            raise BadConfig(
                "this model's vocabulary has pieces of words, and only training can split captions into them"
            )
        each = [captions] if is_one_photo(images) else captions
        prompt_length = len(tokenizer.prompt_ids(language))
        limit = None if self.max_length is None else max(1, self.max_length + 1 - prompt_length)
        ids = ([tokenizer.encode(caption, language, limit) for caption in references(texts)] for texts in each)
        return self._scores(image_pairs(photos(images), ids), batch_size, prompt_length)

    def _scores(
        self, pairs: Iterator[tuple[Any, list[list[int]]]], batch_size: int, prompt_length: int
    ) -> Iterator[TeacherForcedScore | None]:
        for batch in load_ahead(pairs, lambda pair: self.preprocess(pair[0]), batch_size):
            good = [(pixels, ids) for (_, ids), pixels in batch if not isinstance(pixels, BaseException)]
            memory = self.encode([pixels for pixels, _ in good]) if good else None
            captions = [ids for _, ids in good]
            scores = iter(score_captions(self.stepper, memory, captions, prompt_length) if good else [])
            for _, pixels in batch:
                if isinstance(pixels, BadImage):
                    yield None
                elif isinstance(pixels, BaseException):
                    raise pixels
                else:
                    yield next(scores)

    def preprocess(self, image: Any, max_pixels: int | None = None) -> PreprocessedImage:
        """The network's input, loaded once and resized for each pixel settings; thread-safe. `max_pixels` None: the
        captioner's.

        Raises BadImage when the image cannot be used.
        """
        source = photo_source(image)
        max_pixels = self.max_pixels if max_pixels is None else max_pixels
        hint_size = max(map(resized_side, self._pixel_settings))
        try:
            loaded = load_image(source, max_pixels=max_pixels, hint_size=hint_size)
        except BadImage as error:
            if (advice := advised(error, source)) is not error:
                raise advice from error
            raise
        return tuple(resize(loaded, pixels) for pixels in self._pixel_settings)

    def caption_preprocessed(
        self, photos: Sequence[PreprocessedImage], options: GenerationOptions
    ) -> list[tuple[Caption, ...]]:
        """One batch: the captions of each of the photos (one or more), best first."""
        tokenizer, language = self.bundle.tokenizer, options.language
        results = decode(
            self.stepper,
            self.encode(photos),
            len(photos),
            tokenizer,
            language,
            options.decode,
            options.num,
            options.attention and self.has_common_grid,
            options.prompt,
            self.reranker,
        )
        if not all(results):
            raise ShowtellError(
                "the network gave no caption: its log-probabilities are no numbers, or no caption can keep all decode "
                "settings; try --runtime onnxruntime, or other settings"
            )
        prompt, curve = tokenizer.prompt_ids(language, options.prompt), self._calibration.get(language)
        return [
            tuple(to_caption(hypothesis, self.bundle, language, prompt, curve) for hypothesis in each)
            for each in results
        ]

    def encode(self, photos: Sequence[PreprocessedImage]) -> Any:
        """The memory of the photos, of the network or of every member of an ensemble."""
        stacks = [np.stack(images) for images in zip(*photos, strict=True)]
        pairs = zip(self._pixel_settings, stacks, strict=True)
        pixels = {settings: normalise(stack, settings) for settings, stack in pairs}
        inputs = [pixels[member.manifest.pixels] for member in self.bundles]
        return self.stepper.encode(inputs if len(inputs) > 1 else inputs[0])

    def _language(self, language: str | None) -> str:
        if language is None:
            return self.languages[0]
        tag = lenient_tag(language) if isinstance(language, str) else None
        if tag is None or tag not in self.languages:
            raise BadConfig(f"found language {language!r}; this model writes {', '.join(self.languages)}")
        return tag


def _load_again(
    kind: type[Captioner],
    threads: int,
    max_pixels: int,
    runtime: str,
    models: Sequence[tuple[Path | None, tuple[str, ...]]],
) -> Captioner:
    """A pickled captioner. Raises BadBundle where a model has become another; settings are those of the folder now."""
    captioner = kind.load([builtin() if path is None else path for path, _ in models], threads, max_pixels, runtime)
    for bundle, (_, fingerprint) in zip(captioner.bundles, models, strict=True):
        if bundle.fingerprint != fingerprint:
            raise BadBundle(f"{bundle.path}: has another model than when the captioner was pickled; pickle it again")
    return captioner
