"""Training curves of a run: loss and dev scores."""

from __future__ import annotations

import json
from pathlib import Path

from showtell.files import read_lines, replacing
from showtell.view.legend import add_legend, language_colours


def draw_curves(log: Path, picture: Path) -> None:
    """Reads `log.jsonl` and writes a PNG: cross-entropy of training batches by step, CIDEr and BLEU-4 on dev by
    epoch."""
    from matplotlib.figure import Figure

    entries = [json.loads(line) for line in read_lines(log)]
    train = [e for e in entries if e["kind"] == "train"]
    dev = [e for e in entries if e["kind"] == "dev"]
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([e["step"] for e in train], [e["cross_entropy"] for e in train], color="tab:blue", linewidth=1)
    left.set(title="training", xlabel="step", ylabel="cross-entropy per word (nats)")
    languages = sorted({key for e in dev for key, value in e["scores"].items() if isinstance(value, dict)})
    for language, colour in language_colours(languages).items():
        for metric, style, label in (("CIDEr", "o-", language), ("BLEU-4", "s--", None)):
            values = [e["scores"][language][metric] for e in dev]
            right.plot([e["epoch"] for e in dev], values, style, color=colour, markersize=4, label=label)
    right.set(title="dev, free-running: CIDEr (line), BLEU-4 (dashed)", xlabel="epoch", ylim=(0, None))
    if dev:
        add_legend(figure, [right])
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    with replacing(picture) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
