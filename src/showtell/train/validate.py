"""Validation: the model captions the dev split free-running (it reads its own tokens), as at inference.

Teacher-forced loss and top-5 accuracy on reference captions are computed as well, for comparison with systems that
report them. They do not measure the quality of generated captions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from showtell.core.decode import decode
from showtell.core.tokenizer import AnyTokenizer
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.torch_stepper import TorchStepper
from showtell.progress import ProgressReporter
from showtell.records import Sample
from showtell.settings import DecodeSettings, Recipe
from showtell.train.batch_source import BatchSource
from showtell.train.batches import Batch, Photo, batches, prompt_length
from showtell.train.losses import forward_packed
from showtell.train.processes import Processes

BATCH = 64
Score = Callable[[Mapping[str, str], Mapping[str, Sequence[str]], str], dict[str, float]]
"""From the captions and references of images by name, and their language, to scores by name."""


@dataclass(frozen=True)
class Validator:
    """Captions and scores the dev split."""

    recipe: Recipe
    tokenizer: AnyTokenizer
    samples: Sequence[Sample]
    photos: Sequence[Photo]
    features: BatchSource
    score: Score
    reporter: ProgressReporter
    processes: Processes

    def __call__(self, model: CaptioningModel, title: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """All scores on dev, and the predictions as rows."""
        index = {name: i for i, name in enumerate(dict.fromkeys(sample.name for sample in self.samples))}

        def caption(language: str) -> dict[str, str]:
            everyone = list(dict.fromkeys(sample.name for sample in self.samples if sample.language == language))
            names = everyone[self.processes.rank :: self.processes.count]
            images = np.array([index[name] for name in names], np.int64)
            with self.reporter.stage(f"{title}: captioning dev ({language})", len(names)) as advance:
                captions = caption_features(
                    model, self.features, images, names, self.tokenizer, language, self.recipe.decode, BATCH, advance
                )
            merged = {name: text for part in self.processes.gather(captions) for name, text in part.items()}
            return {name: merged[name] for name in everyone}

        scores, predictions = score_languages(caption, self.samples, self.recipe.text.languages, self.score)
        plan = batches(self.photos, self.tokenizer, BATCH, views=1, seed=0, epoch=0)
        own = plan[self.processes.rank :: self.processes.count]
        sums = teacher_forced_sums(model, self.features, own, prompt_length(self.tokenizer))
        total, hits, tokens = self.processes.sum(sums)
        return {**scores, "loss": round(total / tokens, 5), "top-5": round(hits / tokens, 5)}, predictions


def caption_features(
    model: CaptioningModel,
    features: BatchSource,
    images: np.ndarray,
    names: Sequence[str],
    tokenizer: AnyTokenizer,
    language: str,
    settings: DecodeSettings,
    batch_size: int,
    advance: Callable[[int], None],
) -> dict[str, str]:
    """The best caption of photos by name. `images`: the index of each in `features`."""
    stepper = TorchStepper(model, lambda inputs: model.decoder.encode_memory(model.encoder.forward_trainable(inputs)))
    device = next(model.parameters()).device
    captions: dict[str, str] = {}
    for begin in range(0, len(names), batch_size):
        batch_images = images[begin : begin + batch_size]
        inputs: Tensor = features.batch(batch_images).to(device)
        results = decode(stepper, stepper.encode(inputs), len(batch_images), tokenizer, language, settings)
        batch_names = names[begin : begin + batch_size]
        captions |= {name: tokenizer.decode(best.tokens) for name, (best, *_) in zip(batch_names, results, strict=True)}
        advance(len(batch_images))
    return captions


@torch.inference_mode()
def teacher_forced_sums(
    model: CaptioningModel, features: BatchSource, plan: Sequence[Batch], prompt_length: int
) -> tuple[float, float, float]:
    """The cross-entropy of all reference tokens in nats, how many of them are among the five most probable, and how
    many there are."""
    model.eval()
    device = next(model.parameters()).device
    total, hits, tokens = 0.0, 0, 0
    for batch in plan:
        regions = model.encoder.forward_trainable(features.batch(batch.images).to(device))
        memory = model.decoder.encode_memory(regions)
        slots = [slot.to(device) for slot in batch.slots]
        output = forward_packed(slots, prompt_length, partial(model.decoder.forward_slots, memory=memory))
        log_probs = model.decoder.logits(output.hidden).log_softmax(-1)
        total += float(functional.nll_loss(log_probs, output.targets, reduction="sum"))
        hits += int((log_probs.topk(5).indices == output.targets.unsqueeze(-1)).sum())
        tokens += len(output.targets)
    return total, hits, tokens


def score_languages(
    caption: Callable[[str], dict[str, str]], samples: Sequence[Sample], languages: Sequence[str], score: Score
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Scores by language with their means over languages, and the predictions as rows."""
    scores: dict[str, Any] = {}
    predictions: list[dict[str, Any]] = []
    for language in languages:
        references = {s.name: s.captions for s in samples if s.language == language}
        captions = {name: text for name, text in caption(language).items() if name in references}
        scores[language] = {name: round(value, 5) for name, value in score(captions, references, language).items()}
        predictions += [
            {"image": name, "language": language, "caption": text, "references": list(references[name])}
            for name, text in captions.items()
        ]
    # Some metrics need words that are known for some of the languages only.
    common = [name for name in scores[languages[0]] if all(name in scores[language] for language in languages)]
    means = {name: float(np.mean([scores[language][name] for language in languages])) for name in common}
    return {**scores, **means}, predictions
