"""The generated model card: what a bundle was made of and how well it does, as far as the run knows."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

from showtell.config import dump_recipe
from showtell.settings import Recipe, TrainSettings

TEMPLATE = """# A showtell captioning model

{description}

| | |
|---|---|
| encoder | `{encoder}` (timm), {stages} |
| decoder | {decoder} |
| languages | {languages} |
| trained on | `{data}`, split train; chosen by CIDEr on split dev |
| best epoch | {epoch} of {epochs} |
| parity | {parity} |

## Scores on dev

By showtell's own metrics while it trained, weights in full precision, beam {beam}; figures for print come from
`showtell evaluate` on this bundle.

{scores}

## Licence and limits

A model can be used as its data allows: say here what licence the photos and captions have. It knows what its training
photos show, and calls everything else by the nearest thing it knows.

## Recipe

```yaml
{recipe}```
"""


def model_card(recipe: Recipe, best: dict[str, Any], parity: str) -> str:
    """Markdown. `best` is the run's `best/scores.json`."""
    model, train = recipe.model, recipe.train
    # Paths belong to one machine: the encoder's name says what its weights are, the last part what the data is.
    kind, _, where = recipe.data.partition(":")
    data = f"{kind}:{PurePath(where).name}"
    shown = recipe.model_copy(
        update={
            "data": data,
            "model": model.model_copy(update={"encoder": model.encoder.model_copy(update={"weights": None})}),
            "train": train.model_copy(update=_without_paths(train)),
        }
    )
    names = ("CIDEr", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L")
    rows = [f"| language | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for language in recipe.text.languages:
        values = best["scores"][language]
        rows.append(f"| {language} | " + " | ".join(f"{values.get(name, float('nan')):.4f}" for name in names) + " |")
    return TEMPLATE.format(
        description=recipe.description or "Trained with showtell.",
        encoder=model.encoder.name,
        stages=f"last {train.encoder_stages} stages fine-tuned" if train.encoder_stages else "frozen",
        decoder=", ".join(f"{key} {value}" for key, value in model.decoder.model_dump().items()),
        languages=", ".join(recipe.text.languages),
        data=data,
        epoch=" and ".join(map(str, best.get("mean_of", [best["epoch"]]))),
        epochs=train.epochs,
        parity=parity,
        beam=recipe.decode.beam,
        scores="\n".join(rows),
        recipe=dump_recipe(shown),
    )


def _without_paths(train: TrainSettings) -> dict[str, Any]:
    """Of the runs that training began with or learned from: their names."""
    teachers = tuple(Path(path.name) for path in train.distillation.teachers)
    return {
        "start_from": train.start_from and Path(train.start_from.name),
        "distillation": train.distillation.model_copy(update={"teachers": teachers}),
    }
