"""Free-running validation: the model captions the dev split reading its own words, as a user will see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from showtell.config import DecodeSettings
from showtell.core.decode import decode
from showtell.core.text import Text
from showtell.nets.captioning_model import CaptioningModel
from showtell.nets.torch_stepper import TorchStepper
from showtell.records import Sample
from showtell.train.features import Features

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


def validate(
    caption: Callable[[str], dict[str, str]], samples: Sequence[Sample], languages: Sequence[str], score: Score
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Scores by language with `CIDEr` (mean over languages, what is best by), and the predictions as rows."""
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
    scores["CIDEr"] = float(np.mean([scores[language]["CIDEr"] for language in languages]))
    return scores, rows
