"""Training curves of a run: loss and dev scores."""

from __future__ import annotations

import json
from pathlib import Path

from showtell.files import replacing


def draw_curves(log: Path, picture: Path) -> None:
    """Reads `log.jsonl` and writes a PNG: cross-entropy of training batches by step, CIDEr and BLEU-4 on dev by
    epoch."""
    from matplotlib.figure import Figure

    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    train = [e for e in entries if e["kind"] == "train"]
    dev = [e for e in entries if e["kind"] == "dev"]
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([e["step"] for e in train], [e["cross_entropy"] for e in train], color="tab:blue", linewidth=1)
    left.set(title="training", xlabel="step", ylabel="cross-entropy per word (nats)")
    for language in sorted({key for e in dev for key, value in e["scores"].items() if isinstance(value, dict)}):
        for metric, style in (("CIDEr", "o-"), ("BLEU-4", "s--")):
            values = [e["scores"][language][metric] for e in dev]
            right.plot([e["epoch"] for e in dev], values, style, markersize=4, label=f"{metric} ({language})")
    right.set(title="dev, free-running", xlabel="epoch", ylim=(0, None))
    if dev:
        lines = len(right.get_lines())  # many languages would need more height than there is
        right.legend(frameon=False, ncols=-(-lines // 8), fontsize=None if lines <= 8 else "xx-small")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    with replacing(picture) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
