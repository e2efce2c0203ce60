"""Every kind of decoder on regions and on one vector: it learns, goes on where it stopped, and captions when exported.

That a word at a time equals a sentence at once is in `nets/test_decoder`, that any encoder fits in
`nets/test_captioning_model`, for the same decoders.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.tiny_decoders import DECODERS

from showtell import Captioner
from showtell.data.spec import read_samples
from showtell.export.bundle import export_run
from showtell.progress import ProgressReporter
from showtell.settings import DecodeSettings, EncoderSettings, ModelSettings, PixelOverrides, Recipe, TrainSettings
from showtell.train.run_folder import RunFolder
from showtell.train.setup import build_trainer
from showtell.train.stop_signal import Interrupted

DATA = "shapes:40"
STEPS = 6
DEV = 8
"""Photos of the dev split, of the 50 that shapes have at least: most of a tiny run would be their captions."""


def recipe(decoder: str, layer: str) -> Recipe:
    pixels = PixelOverrides(size=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    encoder = EncoderSettings(
        name="test_resnet", pretrained=False, layer=layer, timm_kwargs={"output_stride": 16}, pixels=pixels
    )
    return Recipe(
        model=ModelSettings(encoder=encoder, decoder=DECODERS[decoder]),
        data=DATA,
        train=TrainSettings(epochs=2, batch_size=16, lr=0.01, optimizer="adam", schedule="constant", warmup_ratio=0.0),
        decode=DecodeSettings(beam_size=2, max_length=8),
    )


def count_words(captions: Mapping[str, str], _: Mapping[str, Sequence[str]], language: str) -> dict[str, float]:
    return {"CIDEr": sum(len(c.split()) for c in captions.values()) / len(captions), "BLEU-4": 0.0}


def train(folder: Path, settings: Recipe, stop_after: int | None = None) -> list[float]:
    """The loss of every step; `stop_after` so many of them the run is interrupted, as by Ctrl-C."""
    run = RunFolder(folder)
    run.open(settings)
    drawings = read_samples(DATA)
    samples = [s for s in drawings if s.split == "train"] + [s for s in drawings if s.split == "dev"][:DEV]
    trainer = build_trainer(settings, run, samples, count_words, ProgressReporter(), lambda done: None)
    losses, step = [], trainer.step

    def counted(group: object) -> float:
        losses.append(step(group))
        if len(losses) == stop_after:
            trainer.save()
            raise Interrupted
        return losses[-1]

    trainer.step = counted
    trainer.fit()
    return losses


LAYERS = ("regions", "pooled")
EXPORTED = [(decoder, LAYERS[n % 2]) for n, decoder in enumerate(DECODERS)]
"""Each decoder once, regions and one vector in turn."""
ONE_OF_EACH_KIND = {(DECODERS[decoder].kind, layer): decoder for decoder, layer in reversed(EXPORTED)}
RESUMED = [
    ("lstm, image first", "regions"),
    ("gru, attention", "pooled"),
    ("lstm, hard attention", "regions"),
    ("transformer, post-norm, encoder", "pooled"),
]
"""One of each kind of decoder; all of them with dropout, where they have any, or with sampling."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOWTELL_CACHE", str(tmp_path / "cache"))


def test_every_kind_of_decoder_meets_both_layers() -> None:
    kinds = {(DECODERS[decoder].kind, layer) for decoder, layer in EXPORTED}
    assert len(kinds) == 4 * 2 and {decoder for decoder, _ in EXPORTED} == set(DECODERS)


@pytest.mark.parametrize(
    ("decoder", "layer"),
    [
        pytest.param(*case, marks=[] if case[0] in ONE_OF_EACH_KIND.values() else [pytest.mark.long])
        for case in EXPORTED
    ],
)
def test_it_learns_and_is_exported(decoder: str, layer: str, tmp_path: Path) -> None:
    losses = train(tmp_path / "run", recipe(decoder, layer))
    assert len(losses) == STEPS and losses[-1] < losses[0]
    parity = export_run(tmp_path / "run", tmp_path / "bundle")
    assert parity.same + 1 >= parity.images == 8  # one near tie is no disagreement
    drawing = read_samples("shapes:3")[0].image()
    caption = Captioner.load(tmp_path / "bundle", threads=1).caption(drawing, attention=True)
    assert caption.text == " ".join(word.text for word in caption.words)
    assert (caption.attention is None) is (DECODERS[decoder].kind == "recurrent")
    grid = json.loads((tmp_path / "bundle" / "bundle.json").read_text(encoding="utf-8"))["grid"]
    assert grid == ([1, 1] if layer == "pooled" else [2, 2])


@pytest.mark.parametrize(("decoder", "layer"), RESUMED)
def test_it_goes_on_where_it_stopped(decoder: str, layer: str, tmp_path: Path) -> None:
    settings = recipe(decoder, layer)
    whole = train(tmp_path / "whole", settings)
    with pytest.raises(Interrupted):
        train(tmp_path / "stopped", settings, stop_after=4)
    assert train(tmp_path / "stopped", settings) == whole[4:]
    one, other = (load_file(tmp_path / name / "best" / "model.safetensors") for name in ("whole", "stopped"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
