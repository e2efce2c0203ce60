"""What a bundle in eight-bit integers loses, on sample images, against the same weights in float32."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from showtell.core.decode import decode
from showtell.core.stepper import Floats, Stepper
from showtell.core.tokenizer import AnyTokenizer
from showtell.export.along_captions import generated_log_probs, pad_captions, step_through
from showtell.settings import DecodeSettings


@dataclass(frozen=True)
class PrecisionLoss:
    """Differences of log-probabilities are those of the tokens of float32's captions."""

    images: int
    same: int
    """Images with the same caption from both."""
    mean: float
    largest: float

    def __str__(self) -> str:
        return (
            f"in eight bits {self.same} of {self.images} captions of sample images stay the same (log-probabilities "
            f"of their tokens differ by {self.mean:.3f} on average, {self.largest:.3f} at most)"
        )

    def as_dict(self) -> dict[str, Any]:
        """For the manifest."""
        rounded = {name: round(value, 4) for name, value in asdict(self).items() if isinstance(value, float)}
        return {**asdict(self), **rounded}


def measure_loss(
    full: Stepper, reduced: Stepper, pixels: Floats, tokenizer: AnyTokenizer, settings: DecodeSettings
) -> PrecisionLoss:
    """Of `reduced` against `full`, on `pixels` [B, 3, H, W], over every language of the tokenizer."""
    steppers = full, reduced
    memories = [stepper.encode(pixels) for stepper in steppers]
    same, differences = 0, []
    for language in tokenizer.languages:
        hypotheses = (
            [best for best, *_ in decode(stepper, memory, len(pixels), tokenizer, language, settings)]
            for stepper, memory in zip(steppers, memories, strict=True)
        )
        captions = list(zip(*hypotheses, strict=True))
        prompt = tokenizer.prompt_ids(language)
        tokens, _ = pad_captions(captions, prompt)
        one, other = (step_through(s, memory, tokens).log_probs for s, memory in zip(steppers, memories, strict=True))
        for image, (caption, reduced_caption) in enumerate(captions):
            expected, found = (
                generated_log_probs(log_probs, image, 0, caption, prompt, tokenizer.eos_id)
                for log_probs in (one, other)
            )
            differences.append(abs(found - expected))
            same += np.array_equal(caption.tokens, reduced_caption.tokens)
    flat = np.concatenate(differences)
    return PrecisionLoss(len(pixels) * len(tokenizer.languages), same, float(flat.mean()), float(flat.max()))
