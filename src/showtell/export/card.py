"""The generated model card: how a bundle was trained, and its scores on dev."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

from showtell.config import dump_recipe
from showtell.languages import language_info
from showtell.settings import EncoderSettings, Recipe, TrainSettings

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
{precision}
## Scores on dev

By showtell's metrics during training, weights in full precision, beam size {beam}{int8}. For publication, run `showtell
evaluate` on this bundle.

{scores}

## Licence and limits

The licence of a model depends on its data: state here the licence of the photos and captions. The model describes
anything that its training photos do not show as the most similar thing that they do.

## Recipe

```yaml
{recipe}```
"""


def model_card(recipe: Recipe, best: dict[str, Any], parity: str, int8: str | None = None) -> str:
    """Markdown. `best` is the run's `best/scores.json`; `int8`: what eight bits lose, where the bundle has them."""
    model, train = recipe.model, recipe.train
    # No paths of this machine: the encoder's name identifies its weights, the last path component the data.
    kind, _, where = recipe.data.partition(":")
    data = f"{kind}:{PurePath(where).name}"
    public = recipe.model_copy(
        update={
            "data": data,
            "model": model.model_copy(update={"encoder": _without_weights(model.encoder)}),
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
        encoder=" with ".join(
            [model.encoder.name, *([model.encoder.companion.name] if model.encoder.companion else [])]
        ),
        stages=f"last {train.trainable_encoder_stages} stages fine-tuned"
        if train.trainable_encoder_stages
        else "frozen",
        decoder=", ".join(f"{key} {value}" for key, value in model.decoder.model_dump().items()),
        languages=", ".join(map(_language_name, recipe.text.languages)),
        data=data,
        epoch=" and ".join(map(str, best.get("mean_of", [best["epoch"]]))),
        epochs=train.epochs,
        parity=parity,
        precision="" if int8 is None else f"| precision | linear layers in eight-bit integers: {int8} |\n",
        int8="" if int8 is None else ", not in the eight bits of this bundle",
        beam=recipe.decode.beam_size,
        scores="\n".join(rows),
        recipe=dump_recipe(public),
    )


def _language_name(tag: str) -> str:
    """`de` (German), or the tag alone where the registry has no name."""
    name = language_info(tag).english_name
    return f"`{tag}`" if name == tag else f"`{tag}` ({name})"


def _without_weights(encoder: EncoderSettings) -> EncoderSettings:
    companion = encoder.companion
    if companion is not None:
        tags = companion.tags and companion.tags.model_copy(
            update={"nouns": companion.tags.nouns and Path(companion.tags.nouns.name)}
        )
        companion = companion.model_copy(update={"weights": None, "tags": tags})
    return encoder.model_copy(update={"weights": None, "companion": companion})


def _without_paths(train: TrainSettings) -> dict[str, Any]:
    """The names of files, and of the runs that training started from or was distilled from."""
    teachers = tuple(Path(path.name) for path in train.distillation.teachers)
    specs = (spec.partition("=") for spec in train.text.files)
    files = tuple(f"{language}={PurePath(file).name}" for language, _, file in specs)
    return {
        "text": train.text.model_copy(update={"files": files}),
        "start_from": train.start_from and Path(train.start_from.name),
        "distillation": train.distillation.model_copy(update={"teachers": teachers}),
    }
