"""Validation: the model captions the dev split reading its own words, as a user will see it.

The cross-entropy and the top-5 accuracy on the true words are there as well, for comparison with systems that report
them. They say how well a network continues a sentence that somebody else began.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from showtell.core.decode import decode
from showtell.core.text import Text
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.torch_stepper import TorchStepper
from showtell.records import Sample
from showtell.settings import DecodeSettings
from showtell.train.batches import Batch
from showtell.train.features import Features
from showtell.train.losses import read

Score = Callable[[Mapping[str, str], Mapping[str, Sequence[str]], str], dict[str, float]]


def caption_features(
    model: CaptioningModel,
    features: Features,
    names: Sequence[str],
    text: Text,
    language: str,
    settings: DecodeSettings,
    batch_size: int,
    advance: Callable[[int], None],
) -> dict[str, str]:
    """The best caption of every photo whose features are cached, by name."""
    stepper = TorchStepper(model, lambda batch: model.decoder.memory(model.encoder.finish(batch)))
    device = next(model.parameters()).device
    captions: dict[str, str] = {}
    for begin in range(0, len(names), batch_size):
        images = np.arange(begin, min(begin + batch_size, len(names)))
        batch: Tensor = features.batch(images).to(device)
        found = decode(stepper, stepper.encode(batch), len(images), text, language, settings)
        batch_names = names[begin : begin + batch_size]
        captions |= {name: text.decode(best.words) for name, (best, *_) in zip(batch_names, found, strict=True)}
        advance(len(images))
    return captions


@torch.inference_mode()
def taught_scores(model: CaptioningModel, features: Features, plan: Sequence[Batch], pad: int) -> dict[str, float]:
    """`loss`, the cross-entropy per true word in nats, and `top-5`, how often it is among the five likeliest."""
    model.eval()
    device = next(model.parameters()).device
    total, hits, words = 0.0, 0, 0
    for batch in plan:
        regions = model.encoder.finish(features.batch(batch.images).to(device))
        memory = model.decoder.memory(regions)
        slots = [slot.to(device) for slot in batch.slots]
        found = read(slots, pad, partial(model.decoder.teach, memory=memory), lambda tokens: tokens)
        log_probs = model.decoder.logits(found.hidden).log_softmax(-1)
        total += float(functional.nll_loss(log_probs, found.targets, reduction="sum"))
        hits += int((log_probs.topk(5).indices == found.targets.unsqueeze(-1)).sum())
        words += len(found.targets)
    return {"loss": round(total / words, 5), "top-5": round(hits / words, 5)}


def validate(
    caption: Callable[[str], dict[str, str]], samples: Sequence[Sample], languages: Sequence[str], score: Score
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Scores by language, with the mean over languages of each, and the predictions as rows."""
    scores: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    for language in languages:
        references = {s.name: s.captions for s in samples if s.language == language}
        captions = {name: text for name, text in caption(language).items() if name in references}
        scores[language] = {name: round(value, 5) for name, value in score(captions, references, language).items()}
        rows += [
            {"image": name, "language": language, "caption": text, "references": list(references[name])}
            for name, text in captions.items()
        ]
    means = {name: float(np.mean([scores[each][name] for each in languages])) for name in scores[languages[0]]}
    return {**scores, **means}, rows
