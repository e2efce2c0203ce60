"""A run that fine-tuned an imported model becomes a bundle with all that import wrote into the first one."""

import json
from pathlib import Path

import numpy as np
import tokenizers
import torch
from tests.export.tiny_runs import CAPTIONS
from tokenizers import models, pre_tokenizers

from showtell import Captioner
from showtell.config import parse_recipe
from showtell.core.bundle import load_bundle
from showtell.export.bundle import export_run
from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import Recipe
from showtell.train.run_folder import RunFolder
from showtell.train.state import save_weights

WORDS = sorted({word for caption in CAPTIONS for word in caption.split()})
SPECIAL = ["[UNK]", "[END]"]
START = len(SPECIAL) + len(WORDS)
"""No entry of the tokenizer's file, as in BLIP."""


def recipe() -> Recipe:
    text = {"bos_ids": [START], "eos_id": 1, "unk_id": 0, "banned_ids": [0, START], "takes_prompt": True}
    raw = {
        "model": {
            "encoder": {
                "name": "test_vit",
                "pretrained": False,
                "prefix_regions": True,
                "timm_kwargs": {"img_size": 32},
                "pixels": {"size": 32},
            },
            "decoder": {"kind": "prefix_transformer", "width": 32, "layers": 1, "heads": 2, "max_positions": 16},
        },
        "text": {"kind": "imported", "imported": {**text, "prompt": "a red"}, "vocab_size": START + 1},
        "decode": {"beam_size": 2, "min_length": 3, "max_length": 6, "truncate": True},
    }
    return parse_recipe(raw, "test")


def make_run(folder: Path) -> RunFolder:
    run = RunFolder(folder)
    run.open(recipe())
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *WORDS])}
    backend = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.add_special_tokens(SPECIAL)
    backend.save(str(run.tokenizer))
    torch.manual_seed(0)
    model = CaptioningModel(recipe().model, START + 1, 15)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    scores = {"epoch": 1, "step": 1, "scores": {"en": {"CIDEr": 0.5}, "CIDEr": 0.5}}
    save_weights(run.best, model, scores)
    run.best_scores.write_text(json.dumps(scores), encoding="utf-8")
    return run


def test_prompt_prefix_regions_and_vocabulary_go_into_the_bundle(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    parity = export_run(run.path, tmp_path / "bundle")
    assert parity.same == parity.images == 8
    manifest = load_bundle(tmp_path / "bundle").manifest
    assert manifest.imported_text == recipe().text.imported
    assert (manifest.prefix_regions, manifest.grid) == (1, (2, 2))
    assert (manifest.vocab_size, manifest.max_length) == (START + 1, 15)
    photo = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    caption = Captioner.load(tmp_path / "bundle", threads=1).caption(photo, attention=True)
    assert caption.text.startswith("a red ") and 3 <= len(caption.words) <= 6
    assert caption.attention is not None and caption.attention.shape == (len(caption.words), 2, 2)
