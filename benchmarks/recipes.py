"""Every recipe of a published system on a few hundred real photos: training, export, captions.

    python benchmarks/recipes.py FLICKR8K WEIGHTS FOLDER [RECIPE]...

FLICKR8K is a folder that `flickr:` reads, WEIGHTS MobileNetV2's ImageNet weights with timm's parameter names (the
recipes' own encoders are downloads of up to 500 MB; this one replaces all of them), FOLDER the place for runs and
bundles. 512 training photos, 100 for model selection, a few epochs each: this shows that the recipes work, and says
nothing about the quality of the full systems. After an interruption, the same command resumes. Prints the table of
docs/recipes.md.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from showtell.data.spec import read_samples

TRAIN, DEV = 512, 100
ONE_VECTOR = ("model.encoder.layer=pooled", "model.encoder.pca=256")  # MobileNetV2 has no fc7; 512 photos no 512 axes
CHANGES = {
    "convnext-lstm": ("train.epochs=8",),
    "imgcap-lstm": (
        "train.epochs=8",
        "text.vocab_size=1024",
    ),  # all words of 512 photos are fewer than 4,096: none were spelt
    "imgcap-attention": ("train.epochs=8", "text.vocab_size=1024"),
    "bottomup-rnn": ("train.epochs=12", *ONE_VECTOR),
    "bottomup-lstm": ("train.epochs=12", *ONE_VECTOR),
    "bottomup-transformer": ("train.epochs=12", *ONE_VECTOR),
    "flickr8k-lstm": ("train.epochs=16", "train.batch_size=32"),  # 128 would be four steps an epoch
    "flickr8k-attention": ("train.epochs=8",),
    "resnet152-transformer": ("train.epochs=4",),
}
PHOTO = Path(__file__).parents[1] / "examples" / "dog.jpg"


def showtell(*arguments: str) -> str:
    """Standard output of the command; its messages are shown as they come."""
    command = [sys.executable, "-m", "showtell", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def write_data(flickr8k: str, file: Path) -> None:
    """The first photos of both splits as JSON lines."""
    samples = read_samples(f"flickr:{flickr8k}")
    chosen = [
        s for split, count in (("train", TRAIN), ("dev", DEV)) for s in [x for x in samples if x.split == split][:count]
    ]
    rows = [{"image": str(s.image.resolve()), "captions": list(s.captions), "split": s.split} for s in chosen]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def work(name: str, data: Path, weights: str, folder: Path) -> str:
    """Train, export, caption; a row of the table."""
    run, bundle = folder / name, folder / f"{name}.bundle"
    begun = time.monotonic()
    if not bundle.exists():
        encoder = ("model.encoder=mobilenetv2_100", f"model.encoder_weights={weights}")
        showtell(
            "train",
            name,
            "--run",
            str(run),
            f"data=jsonl:{data}",
            f"train.max_images={TRAIN}",
            *encoder,
            *CHANGES[name],
        )
        showtell("export", str(run), str(bundle))
    seconds = time.monotonic() - begun
    log = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    train = [entry["cross_entropy"] for entry in log if entry["kind"] == "train"]
    dev = [entry["scores"] for entry in log if entry["kind"] == "dev"]
    best = json.loads((run / "best" / "scores.json").read_text(encoding="utf-8"))
    card = (bundle / "README.md").read_text(encoding="utf-8")
    parity = next(line.split("|")[2].strip() for line in card.splitlines() if line.startswith("| parity |"))
    same = parity.removeprefix("torch and ONNX write the same on ").partition(" sample")[0]
    caption = showtell("caption", str(PHOTO), "--model", str(bundle)).split("\t")[1].strip()
    cells = (
        f"`{name}`",
        f"{train[0]:.2f} → {train[-1]:.2f}",
        f"{dev[0]['loss']:.2f} → {dev[-1]['loss']:.2f}",
        f"{best['scores']['top-5']:.3f}",
        f"{best['scores']['CIDEr']:.3f} ({best['epoch']}/{len(dev)})",
        same,
        caption,
        f"{seconds / 60:.1f}",
    )
    return "| " + " | ".join(cells) + " |"


def main(flickr8k: str, weights: str, where: str, *names: str) -> None:
    folder = Path(where)
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data.jsonl"
    if not data.exists():
        write_data(flickr8k, data)
    head = ("recipe", "loss in training", "loss on dev", "top-5", "CIDEr (epoch)", "parity", f"{PHOTO.name}", "minutes")
    rows = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name in names or tuple(CHANGES):
        rows.append(work(name, data, weights, folder))
        print(rows[-1], flush=True)
    print("\n".join(["", *rows]))


if __name__ == "__main__":
    main(*sys.argv[1:])
