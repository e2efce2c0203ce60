"""Do torch and ONNX write the same captions on the 1,000 dev photos of Flickr8k?

    python benchmarks/parity.py RUN BUNDLE ../shared/flickr8k

Prints the share of equal captions, and every difference with both scores: differences are legitimate only at near ties.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from showtell.core.bundle import load_bundle
from showtell.core.decode import decode
from showtell.core.image import load_image
from showtell.core.onnx_stepper import OnnxStepper
from showtell.core.pixels import to_pixels
from showtell.data.spec import read_samples, select_split
from showtell.export.bundle import load_run
from showtell.nets.torch_stepper import TorchStepper
from showtell.train.run_folder import RunFolder

BATCH = 25


def main(run: str, bundle_path: str, folder: str) -> None:
    torch.set_num_threads(1)  # ONNX Runtime and torch in one process fight for threads
    model, text, recipe = load_run(RunFolder(Path(run)))
    bundle = load_bundle(Path(bundle_path))
    steppers = TorchStepper(model), OnnxStepper(bundle.encoder, bundle.decoder, 1)
    samples = select_split(read_samples(f"flickr:{folder}"), "dev")
    same, furthest = 0, 0.0
    for begin in range(0, len(samples), BATCH):
        batch = samples[begin : begin + BATCH]
        pixels = np.stack([to_pixels(load_image(s.image), bundle.manifest.pixels) for s in batch])
        found = [decode(stepper, stepper.encode(pixels), len(batch), text, "en", recipe.decode) for stepper in steppers]
        for sample, (ours, *_), (theirs, *_) in zip(batch, *found, strict=True):
            if np.array_equal(ours.tokens, theirs.tokens):
                same += 1
                furthest = max(furthest, float(np.abs(ours.log_probs - theirs.log_probs).max()))
            else:
                print(f"{sample.name}: torch {ours.score:.6f} {text.decode(ours.tokens)!r}")
                print(f"{' ' * len(sample.name)}  ONNX  {theirs.score:.6f} {text.decode(theirs.tokens)!r}")
    print(f"the same words on {same} of {len(samples)} photos; word log-probabilities within {furthest:.1e}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
