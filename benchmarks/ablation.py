"""Ablation of the training techniques: one change at a time to the same base, on a small set-up.

    python benchmarks/ablation.py FLICKR8K MOBILENETV2.safetensors FOLDER [VARIANT]...

Every variant is a run in FOLDER/VARIANT; after an interruption, the same command resumes. The base: the first 1,500
photos of Flickr8k, in English; a frozen MobileNetV2; a Transformer of 2 layers and width 256; cross-entropy only.
Prints, for each variant, CIDEr of its best epoch on dev and the difference to the base with its 95 % interval (paired
bootstrap over the 1,000 photos, which does not include the variance between seeds; `seed` is the base with another
seed, to show that).
"""

import json
import subprocess
import sys
from pathlib import Path

from showtell.metrics import Evaluation

BASE = [
    *("text.min_frequency=3", "text.max_length=20", "train.max_images=1500", "train.batch_size=32", "train.epochs=8"),
    *("model.encoder=mobilenetv2_100", "model.encoder.timm_kwargs={pad_type: same}"),
    *("model.encoder.pixels.mean=[0.5, 0.5, 0.5]", "model.encoder.pixels.std=[0.5, 0.5, 0.5]"),
    *("model.decoder.width=256", "model.decoder.heads=4"),
    *("model.decoder.ffn_dim=1024", "model.decoder.dropout=0", "train.word_dropout=0", "train.label_smoothing=0"),
    *(
        "train.ema_decay=0",
        "train.views=1",
        "train.trainable_encoder_stages=0",
        "train.unfreeze_encoder_at_epoch=0",
        "train.lr=0.0006",
    ),
    *("decode.beam_size=3", "decode.max_length=20", "decode.length_penalty=0.7", "decode.no_repeat_ngram_size=3"),
]
FINE_TUNED = ["train.trainable_encoder_stages=2", "train.unfreeze_encoder_at_epoch=2", "train.encoder_lr=0.0001"]
TOGETHER = [
    *("model.decoder.dropout=0.3", "train.word_dropout=0.1", "train.label_smoothing=0.1", "train.ema_decay=0.99"),
    "train.views=3",
]
VARIANTS = {
    "base": [],
    "seed": ["train.seed=1"],
    "label smoothing 0.1": ["train.label_smoothing=0.1"],
    "dropout 0.3": ["model.decoder.dropout=0.3"],
    "word dropout 0.1": ["train.word_dropout=0.1"],
    "scheduled sampling to 0.75": ["train.teacher_forcing_end=0.75"],
    "average of weights 0.99": ["train.ema_decay=0.99"],
    "mean of the best 3 epochs": ["train.average_checkpoints=3"],
    "3 views": ["train.views=3"],
    "3 views, RandAugment": ["train.views=3", "train.randaugment_num_ops=2"],
    "fine-tuned encoder": FINE_TUNED,
    "fine-tuned, layer-wise rates 0.5": [*FINE_TUNED, "train.layer_decay=0.5"],
    "self-critical from epoch 5": ["train.self_critical.start_epoch=5"],
    "Arabic as well": ["text.languages=[en,ar]"],
    "distilled from base and seed": ["train.distillation.teachers=[{folder}/base, {folder}/seed]", "train.seed=2"],
    "together": TOGETHER,
    "together, fine-tuned": [*TOGETHER, *FINE_TUNED],
    "together, fine-tuned, self-critical from epoch 5": [*TOGETHER, *FINE_TUNED, "train.self_critical.start_epoch=5"],
}


def train(name: str, data: str, weights: str, folder: Path) -> Path:
    run = folder / name.replace(" ", "-").replace(",", "")
    changes = [change.format(folder=folder) for change in VARIANTS[name]]
    command = [sys.executable, "-m", "showtell", "train", "default", "--run", str(run), f"data=flickr:{data}"]
    subprocess.run([*command, *BASE, f"model.encoder_weights={weights}", *changes], check=True)
    return run


def read(run: Path) -> tuple[Evaluation, int]:
    """The dev captions of the best epoch in English, and which epoch that was."""
    lines = (run / "predictions.dev.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["language"] == "en"]
    captions = {row["image"]: row["caption"] for row in rows}
    references = {row["image"]: row["references"] for row in rows}
    best = json.loads((run / "best" / "scores.json").read_text(encoding="utf-8"))
    return Evaluation(captions, references), int(best["epoch"])


def main(data: str, weights: str, folder: str, *names: str) -> None:
    runs = {name: train(name, data, weights, Path(folder)) for name in names or VARIANTS}
    base, _ = read(runs.get("base", Path(folder) / "base"))
    print("| variant | CIDEr | difference to base | BLEU-4 | unique | best epoch |\n|---|---|---|---|---|---|")
    for name, run in runs.items():
        found, epoch = read(run)
        cider, bleu, unique = (found.scores[name] for name in ("CIDEr", "BLEU-4", "unique"))
        estimate = found.difference(base, 1000)["CIDEr"]
        difference = "" if name == "base" else f"{estimate.value:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})"
        print(f"| {name} | {cider:.3f} | {difference} | {bleu:.3f} | {unique:.0%} | {epoch} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
