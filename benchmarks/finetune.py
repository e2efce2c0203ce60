"""What a step of fine-tuning costs, with and without low-rank adapters.

    python benchmarks/finetune.py BUNDLE

BUNDLE is an imported model, such as benchmarks/hub.py makes. A step has the batch of the recipe `finetune` (4 photos,
here with 5 random captions of 12 tokens each; the encoder is frozen and its features are random). Each variant runs in
a process of its own: the median of STEPS optimiser steps after the first, and the peak of its memory.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time

STEPS = 5
CAPTIONS, TOKENS = 5, 12


def measure(bundle: str, rank: int) -> None:
    import torch

    from showtell.config import apply_overrides, parse_recipe
    from showtell.nets.captioning_model import CaptioningModel
    from showtell.recipes import find_recipe
    from showtell.settings import max_positions
    from showtell.train.lora import add_adapters
    from showtell.train.losses import CaptionLoss, LossInputs
    from showtell.train.optimizer import build_optimizer
    from showtell.train.start_from import complete, read_bundle
    from showtell.train.start_weights import load_start

    settings = [f"train.start_from={bundle}", f"train.lora_rank={rank}"]
    recipe = parse_recipe(complete(apply_overrides(find_recipe("finetune"), settings)), "finetune")
    assert recipe.train.start_from is not None
    manifest = read_bundle(recipe.train.start_from).manifest
    model = CaptioningModel(recipe.model, manifest.vocab_size, max_positions(recipe))
    load_start(model, recipe.train.start_from)
    if rank:
        add_adapters(model.decoder, rank, recipe.train.lora_alpha)
    size = recipe.train.batch_size
    features = torch.randn(size, *model.encoder.cached_shape)
    slots = [torch.randint(1000, 2000, (size, 1, TOKENS + 2)) for _ in range(CAPTIONS)]
    loss = CaptionLoss(model, recipe.train, 1, None, [])
    optimizer = build_optimizer(model, recipe.train)
    times = []
    for _ in range(STEPS + 1):
        begin = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        for _ in range(recipe.train.accumulate_grad_batches):
            loss(lambda: LossInputs(features, slots), False)[0].backward()
        optimizer.step()
        times.append(time.perf_counter() - begin)
    trained = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    name = f"adapters of rank {rank}" if rank else "the whole decoder"
    print(f"| {name} | {trained / 1e6:.2f} M | {statistics.median(times[1:]):.2f} s | {peak:.2f} GiB |", flush=True)


def main(bundle: str) -> None:
    print("| trained | parameters | seconds per step | peak memory |\n|---|---|---|---|", flush=True)
    for rank in ("0", "8"):
        subprocess.run([sys.executable, __file__, bundle, rank], check=True)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    if len(sys.argv) == 3:
        measure(sys.argv[1], int(sys.argv[2]))
    else:
        main(sys.argv[1])
