"""Run folders as training leaves them, of tiny models with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from showtell.config import parse_recipe
from showtell.core.tokenizer import Tokenizer
from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import Recipe
from showtell.train.run_folder import RunFolder
from showtell.train.state import save_weights

CAPTIONS = ["a red dog runs on the green grass", "two dogs sit by a small blue boat", "a child jumps over the wall"]
DECODERS = {
    "transformer": {"kind": "transformer", "width": 64, "layers": 2, "heads": 4, "ffn_dim": 64},
    "attention": {"kind": "attention", "width": 64, "embedding_dim": 32, "attention_dim": 48},
}


def recipe(decoder: str) -> Recipe:
    encoder = {"name": "test_efficientnet", "pretrained": False, "pixels": {"size": 96}}
    decoding = {"beam_size": 3, "max_length": 8}
    raw = {
        "data": "folder:/home/alice/photos",
        "model": {"encoder": encoder, "decoder": DECODERS[decoder]},
        "text": {"max_length": 10},
        "decode": decoding,
    }
    return parse_recipe(raw, "test")


def make_run(folder: Path, decoder: str) -> RunFolder:
    """A run folder as training leaves it, but with random weights, made lively so that words differ between images."""
    run, settings = RunFolder(folder), recipe(decoder)
    run.open(settings)
    Tokenizer.build(CAPTIONS, ["en"], 1).save(run.tokenizer)
    torch.manual_seed(0)
    model = CaptioningModel(settings.model, run.load_tokenizer().vocab_size, 10)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    scores = {"epoch": 1, "step": 1, "scores": {"en": {"CIDEr": 0.5}, "CIDEr": 0.5}}
    save_weights(run.best, model, scores)
    run.best_scores.write_text(json.dumps(scores), encoding="utf-8")
    return run
