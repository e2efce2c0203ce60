"""Training speed beside the usual loop; interleaved in one process, medians over the rounds.

    python benchmarks/training.py FLICKR8K --weights EFFICIENTNET_B4.safetensors [CASE...]

Captions per second of optimiser steps. Ours is what `showtell train default` does: a photo is encoded once for its
captions and, where the encoder is frozen, once for all epochs; the recipe's precision. Theirs (usual_training.py)
decodes, resizes and encodes the photo for every caption, in float32, with the same encoder, number of captions, layers
and widths. Both have a warm-up step. The cache of features is timed apart, on photos that are read from the disk cache
of the system as theirs are; "first epoch" and "all epochs" include it, once for every cached view.

Cases: `built-in-frozen` and `resnet50-frozen` (the whole encoder frozen and cached), `built-in-start` (the recipe's
first two epochs: its last two stages run, but are not trained), `built-in-finetune` (these stages are trained, in both
loops), `self-critical` (the recipe with a frozen encoder; see `self_critical`). A line with each result and the machine
is appended to benchmarks/results/training.jsonl. Needs showtell[dev]; self-critical needs pycocoevalcap.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import itertools
import json
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from usual_training import PhotoCaptionPairs, UsualLoop, UsualTransformer, collate, usual_self_critical_loss

from showtell.config import apply_overrides, parse_recipe
from showtell.core.rules import Ban, MaxLength
from showtell.core.search import greedy
from showtell.data.spec import read_samples
from showtell.metrics.reward import CiderReward
from showtell.nets.torch_stepper import TorchStepper
from showtell.progress import ProgressReporter
from showtell.recipes import find_recipe
from showtell.settings import max_positions
from showtell.train.batches import Batch, batches
from showtell.train.features import extract_features
from showtell.train.loop import Trainer
from showtell.train.run_folder import RunFolder
from showtell.train.setup import build_trainer, resolve_recipe

RESULTS = Path(__file__).parent / "results" / "training.jsonl"
FROZEN = ["train.trainable_encoder_stages=0", "train.unfreeze_encoder_at_epoch=0"]
RESNET = ["model.encoder.name=resnet50", "model.encoder.remove_blocks=[]", "model.encoder.pretrained=false"]
CASES: dict[str, list[str]] = {
    "built-in-frozen": FROZEN,
    "built-in-start": [],
    "built-in-finetune": ["train.unfreeze_encoder_at_epoch=0"],
    "resnet50-frozen": [*FROZEN, *RESNET],
    "self-critical": [*FROZEN, "train.self_critical.start_epoch=0"],
}
CACHED = 48
"""Photos of which features are computed in every round, to time the cache."""


def make_trainer(folder: Path, data: str, photos: int, settings: Sequence[str]) -> Trainer:
    """A trainer on some photos, with the vocabulary of all."""
    overrides = [f"data=flickr:{data}", "text.splits=all", "train.views=1", *settings]
    recipe = parse_recipe(apply_overrides(find_recipe("default"), overrides), "default")
    samples = read_samples(recipe.data, recipe.text.languages)
    train = [sample for sample in samples if sample.split == "train"]
    dev = [sample for sample in samples if sample.split == "dev"]
    # Of the others only the captions count, for the vocabulary.
    others = [dataclasses.replace(sample, split="test") for sample in train[photos:]]
    samples = [*train[:photos], *dev[:8], *others]
    recipe = resolve_recipe(recipe, samples)
    run = RunFolder(folder)
    run.open(recipe)
    scores = {"CIDEr": 0.0, "BLEU-4": 0.0}
    return build_trainer(recipe, run, samples, lambda *_: scores, ProgressReporter(), lambda _: None, CiderReward)


def endless_batches(trainer: Trainer) -> Any:
    settings, train_set = trainer.recipe.train, trainer.train_set
    for epoch in itertools.count():
        plan = batches(train_set.photos, train_set.tokenizer, settings.batch_size, 1, settings.seed, epoch)
        yield from (batch for batch in plan if len(batch.images) == settings.batch_size)


def caption_count(batch: Batch) -> int:
    return sum(int((slot[..., 0] >= 0).sum()) for slot in batch.slots)


def rate(step: Callable[[], int], steps: int) -> tuple[float, float]:
    """What steps do, per second of the clock and of this process's processors."""
    step()
    begin, cpu_begin = time.perf_counter(), time.process_time()
    count = sum(step() for _ in range(steps))
    return count / (time.perf_counter() - begin), count / (time.process_time() - cpu_begin)


def cache_seconds(trainer: Trainer) -> float:
    """Of one view of one photo."""
    samples = [photo.sample for photo in trainer.train_set.photos[:CACHED]]
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        extract_features(
            trainer.model.encoder, trainer.recipe.model.encoder, samples, 1, 0, lambda _: None, Path(folder)
        )
        return (time.perf_counter() - begin) / len(samples)


def usual_loop(trainer: Trainer, workers: int) -> UsualLoop:
    recipe, model = trainer.recipe, trainer.model
    pixels = model.encoder.pixels
    pairs = [(str(photo.sample.image), ids) for photo in trainer.train_set.photos for ids in photo.tokens]
    loader = DataLoader(
        PhotoCaptionPairs(pairs, pixels.size, pixels.mean, pixels.std),
        recipe.train.batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=collate,
        drop_last=True,
    )
    positions = max_positions(recipe)
    assert positions is not None
    sizes = model.encoder.channels, model.encoder.num_regions, model.decoder.token_embedding.num_embeddings
    decoder = UsualTransformer(recipe.model.decoder, *sizes, positions + 1)
    return UsualLoop(copy.deepcopy(model.encoder).eval(), decoder, loader, recipe.train)


def cross_entropy(trainer: Trainer, arguments: argparse.Namespace) -> dict[str, Any]:
    loop = usual_loop(trainer, arguments.workers)
    ours = endless_batches(trainer)
    settings = trainer.recipe.train
    train_encoder = settings.trainable_encoder_stages > 0 and settings.unfreeze_encoder_at_epoch == 0

    def our_step() -> int:
        batch = next(ours)
        trainer.step([batch])
        return caption_count(batch)

    rounds = []
    for _ in range(arguments.rounds):
        theirs = rate(lambda: loop.step(train_encoder), arguments.steps)
        rounds.append((theirs, rate(our_step, arguments.steps), cache_seconds(trainer)))
    theirs, steady, cache = (
        statistics.median(values)
        for values in ([r[0][0] for r in rounds], [r[1][0] for r in rounds], [r[2] for r in rounds])
    )
    views = 3  # of the recipe; views=1 above only saves the benchmark's time
    saved = 5 / theirs - 5 / steady  # seconds per photo and epoch
    return {
        "unit": "captions/s",
        "theirs": theirs,
        "ours": steady,
        "ratio": statistics.median(r[1][0] / r[0][0] for r in rounds),
        "ratio by processor time": statistics.median(r[1][1] / r[0][1] for r in rounds),
        "cache seconds per photo and view": cache,
        "first epoch, one view": 5 / (cache + 5 / steady) / theirs,
        "first epoch, three views": 5 / (views * cache + 5 / steady) / theirs,
        "all 16 epochs, three views": 16 * 5 / (views * cache + 16 * 5 / steady) / theirs,
        "epochs until three views pay": max(1, math.ceil(views * cache / saved)) if saved > 0 else None,
    }


def self_critical(trainer: Trainer, arguments: argparse.Namespace) -> dict[str, Any]:
    """Steps with five samples of every photo, mixed with cross-entropy.

    Theirs: sampling with the graph of every step kept, a greedy caption as the baseline, pycocoevalcap's scorer with
    document frequencies computed beforehand, float32. "Same step": ours, with that scorer, and with a greedy search in
    addition, whose reward would be the baseline.
    """
    import metrics  # after torch, since it sets the number of threads for numpy

    train_set, settings, model = trainer.train_set, trainer.recipe.train, trainer.model
    tokenizer, prompt = train_set.tokenizer, train_set.tokenizer.prompt_ids("en")
    references = [[ids[len(prompt) : -1] for ids in photo.tokens] for photo in train_set.photos]
    metrics.END = tokenizer.eos_id
    scorer = metrics.ScorerReward(references)
    plan = endless_batches(trainer)
    critic = train_set.critic
    assert critic is not None
    rules = [Ban(tokenizer.banned_ids), MaxLength(22, tokenizer.eos_id)]
    usual_model = copy.deepcopy(model)
    trained = [p for p in usual_model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.lr, betas=(0.9, 0.98))

    def our_step() -> int:
        batch = next(plan)
        trainer.step([batch])
        return len(batch.images)

    class ScorerAndGreedy:
        def __call__(self, model: Any, features: Any, batch: Batch, step: int) -> Any:
            sampled = critic(model, features, batch, step)
            was_training = model.training
            stepper = TorchStepper(model, lambda x: model.decoder.encode_memory(model.encoder.forward_trainable(x)))
            prompts = np.tile(np.array(prompt), (len(batch.images), 1))
            best = greedy(stepper, stepper.encode(features), prompts, tokenizer.eos_id, rules)
            model.train(was_training)
            scorer(padded([[*h.tokens, tokenizer.eos_id] for h in best], tokenizer.eos_id), batch.images)
            rows = [slot.flatten(0, 1) for slot in sampled.slots]
            captions = [[i for i in ids[len(prompt) :] if i >= 0] for slot in rows for ids in slot.tolist()]
            scorer(padded(captions, tokenizer.eos_id), batch.images.repeat(critic.num_samples))
            return sampled

    other_set = dataclasses.replace(train_set, critic=ScorerAndGreedy())

    def same_step() -> int:
        trainer.train_set = other_set
        try:
            return our_step()
        finally:
            trainer.train_set = train_set

    def usual_step() -> int:
        batch = next(plan)
        regions = usual_model.encoder.forward_trainable(train_set.features.batch(batch.images, batch.views))
        decoder = usual_model.decoder.train()
        memory = decoder.encode_memory(regions)
        reward = usual_self_critical_loss(
            decoder, regions, memory, batch.images, prompt[0], tokenizer.eos_id, critic.num_samples, scorer
        )
        captions = torch.cat([torch.nn.functional.pad(s, (0, 24 - s.shape[2]), value=-1) for s in batch.slots], 1)
        logits = decoder.logits(decoder(captions[:, :, :-1].clamp(min=0), memory).hidden)
        cross_entropy = torch.nn.functional.cross_entropy(
            logits.flatten(0, 2), captions[:, :, 1:].flatten(), ignore_index=-1, label_smoothing=0.1
        )
        optimizer.zero_grad()
        (0.5 * cross_entropy + 0.5 * reward).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        return len(batch.images)

    rounds = [
        [rate(step, arguments.steps) for step in (usual_step, same_step, our_step)] for _ in range(arguments.rounds)
    ]
    theirs, same, ours = (statistics.median(r[n][0] for r in rounds) for n in range(3))
    return {
        "unit": "photos/s",
        "theirs": theirs,
        "same step, scorer and greedy baseline": same,
        "ours": ours,
        "ratio": statistics.median(r[2][0] / r[0][0] for r in rounds),
        "ratio by processor time": statistics.median(r[2][1] / r[0][1] for r in rounds),
        "ratio to the same step": statistics.median(r[2][0] / r[1][0] for r in rounds),
        "ratio to the same step by processor time": statistics.median(r[2][1] / r[1][1] for r in rounds),
    }


def padded(rows: Sequence[Sequence[int]], end: int) -> np.ndarray:
    table = np.full((len(rows), max(map(len, rows))), end)
    for row, ids in zip(table, rows, strict=True):
        row[: len(ids)] = ids
    return table


def machine(threads: int) -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    models = [line for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    flags = info.read_text() if info.exists() else ""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": models[0].split(":")[1].strip() if models else platform.processor(),
        "amx": "amx_bf16" in flags,
        "cores": os.cpu_count(),
        "threads": threads,
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("flickr8k")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"default: all of {', '.join(CASES)}")
    parser.add_argument("--weights", required=True, help="of the built-in model's encoder")
    parser.add_argument("--photos", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6, help="of each side in a round, after one that does not count")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--workers", type=int, default=1, help="of the usual loop's DataLoader")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="overrides of our recipe")
    arguments = parser.parse_intermixed_args()
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"found the cases {', '.join(sorted(unknown))}; expected some of {', '.join(CASES)}")
    torch.set_num_threads(arguments.threads)
    RESULTS.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as cache:
        os.environ.setdefault("SHOWTELL_CACHE", cache)
        for case in arguments.cases or CASES:
            weights = [] if RESNET[0] in CASES[case] else [f"model.encoder.weights={arguments.weights}"]
            with tempfile.TemporaryDirectory() as folder:
                settings = [*weights, *CASES[case], *arguments.set]
                trainer = make_trainer(Path(folder) / "run", arguments.flickr8k, arguments.photos, settings)
                result = (self_critical if case == "self-critical" else cross_entropy)(trainer, arguments)
                trainer.board.close()
            entry = {
                "case": case,
                **{key: round(value, 4) if isinstance(value, float) else value for key, value in result.items()},
                "rounds": arguments.rounds,
                "set": arguments.set,
                "precision": trainer.recipe.train.precision,
                **machine(arguments.threads),
            }
            print(
                "\n".join([case, *(f"  {key}: {value}" for key, value in entry.items() if key != "case")]), flush=True
            )
            with RESULTS.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(entry) + "\n")


if __name__ == "__main__":
    main()
