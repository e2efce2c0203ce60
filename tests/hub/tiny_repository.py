"""Folders as the hub has them: a tiny captioner of `tiny_captioners`, its tokenizer, its processor and its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tests.hub.tiny_captioners import VOCABULARY, blip, encoder_decoder, git, randomise, saved
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE, WordPiece

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = ["a", "photo", "of", "dog", "cat", "red", "on", "the", "grass", "##s", "##ing", ",", ".", "'", "s", "runn"]
LETTERS = "abcdefghijklmnopqrstuvwxyz.,'Ġ"
FAMILIES = {
    "blip": lambda: blip(),
    "git": lambda: git(),
    "vit-gpt2": lambda: encoder_decoder("vit", "gpt2"),
    "deit-bert": lambda: encoder_decoder("deit", "bert"),
    "beit-roberta": lambda: encoder_decoder("beit", "roberta"),
    "swin-trocr": lambda: encoder_decoder("swin", "trocr"),
    "dinov2-gpt2": lambda: encoder_decoder("dinov2", "gpt2"),
}
PROCESSORS: dict[str, dict[str, Any]] = {
    "blip": {"image_processor_type": "BlipImageProcessor", "size": {"height": 32, "width": 32}},
    "git": {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "crop_size": 32},
    "dinov2": {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 36}, "crop_size": 32},
}
VIT = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}}


def word_piece() -> Tokenizer:
    tokens = [*SPECIAL, *WORDS]
    tokens += [f"word{i}" for i in range(VOCABULARY - len(tokens))]
    backend = Tokenizer(WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(cleanup=True)
    backend.add_special_tokens(SPECIAL)
    return backend


def byte_level() -> Tokenizer:
    tokens = [*SPECIAL, *LETTERS]
    merges = [("Ġ", c) for c in LETTERS[: VOCABULARY - len(tokens)]]
    tokens += ["".join(pair) for pair in merges]
    backend = Tokenizer(BPE({token: i for i, token in enumerate(tokens)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(SPECIAL)
    return backend


def repository(name: str, folder: Path, generation: dict[str, Any] | None = None, seed: int = 0) -> Path:
    """`name`: one of FAMILIES; `generation`: added to generation_config.json."""
    torch.manual_seed(seed)
    saved(randomise(FAMILIES[name](), seed), folder)
    encoder, _, decoder = name.partition("-")
    backend = byte_level() if decoder == "gpt2" else word_piece()
    backend.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": True}
    write(folder / "tokenizer_config.json", settings)
    write(folder / "preprocessor_config.json", PROCESSORS.get(encoder, VIT))
    file = folder / "generation_config.json"
    write(file, {**json.loads(file.read_text(encoding="utf-8")), **(generation or {})})
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A tiny captioner\n", encoding="utf-8")
    return folder


def write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content), encoding="utf-8")
