"""Bundles of tiny models with random weights, as an import writes them, without graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tokenizers
import torch
from safetensors.torch import save_file
from tokenizers import decoders, models, normalizers, pre_tokenizers
from torch import nn

from showtell.core.bundle import FileRecord, Manifest
from showtell.core.tokenizer import Tokenizer
from showtell.data.scenes import all_scenes, scene_captions
from showtell.files import sha256
from showtell.nets.captioning_model import CaptioningModel
from showtell.settings import DecodeSettings, ImportedText, ModelSettings

POSITIONS = 40
MODEL = {
    "encoder": {
        "name": "test_resnet",
        "pretrained": False,
        "timm_kwargs": {"output_stride": 8},
        "pixels": {"size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    },
    "decoder": {
        "kind": "transformer",
        "width": 64,
        "layers": 2,
        "heads": 4,
        "ffn_dim": 128,
        "dropout": 0.0,
        "norm_eps": 1e-12,
        "output_transform": True,
        "max_positions": POSITIONS,
    },
}
"""BERT's tokenizer and, as in BLIP, a start token that is not in the tokenizer's file."""
OWN_DECODER = {"kind": "transformer", "width": 64, "layers": 2, "heads": 4, "ffn_dim": 128, "dropout": 0.0}
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def wordpiece() -> tokenizers.Tokenizer:
    """BERT's kind of tokenizer, for the captions of drawn shapes."""
    words = sorted(
        {word for scene in all_scenes() for caption in scene_captions(scene, "en") for word in caption.split()}
    )
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, "picture", *words])}
    backend = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(cleanup=True)
    backend.add_special_tokens(list(SPECIAL))
    return backend


def write_imported(folder: Path, prompt: str = "a picture of", std: float | None = None) -> Path:
    """A bundle with `bundle.json`, `tokenizer.json` and `model.safetensors`; the graphs are empty files.

    `std`: of the decoder's matrices, so large that random captions differ from photo to photo; None: as they begin."""
    backend = wordpiece()
    vocab_size = backend.get_vocab_size() + 1
    text = ImportedText(
        bos_ids=(vocab_size - 1,), eos_id=3, unk_id=1, banned_ids=(0, 1, 2, 4), takes_prompt=True, prompt=prompt
    )
    torch.manual_seed(0)
    settings = ModelSettings.model_validate(MODEL)
    network = CaptioningModel(settings, vocab_size, POSITIONS - 1)
    for parameter in network.decoder.parameters():
        if std is not None and parameter.ndim > 1:
            nn.init.normal_(parameter, std=std)
    folder.mkdir(parents=True)
    backend.save(str(folder / "tokenizer.json"))
    save_half(network, folder / "model.safetensors")
    decode = DecodeSettings(beam_size=1, max_length=20, no_repeat_ngram_size=0)
    manifest = {
        "showtell": "0",
        "languages": ["en"],
        "vocab_size": vocab_size,
        "max_length": POSITIONS - 1,
        "grid": network.encoder.grid,
        "pixels": network.encoder.pixels,
        "decode": decode,
        "model": settings.model_dump(mode="json"),
        "imported_text": text,
    }
    write_manifest(folder, manifest)
    return folder


def save_half(network: CaptioningModel, path: Path) -> None:
    """As `export` writes them: large tensors in half precision."""
    state = {name: t.half() if t.numel() >= 1024 else t for name, t in network.state_dict().items()}
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, str(path))


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    for name in ("encoder.onnx", "decoder.onnx"):
        (folder / name).touch()
    names = [path.name for path in folder.iterdir() if path.name != "bundle.json"]
    files = {name: FileRecord(sha256=sha256(folder / name), size=(folder / name).stat().st_size) for name in names}
    (folder / "bundle.json").write_text(Manifest(**manifest, files=files).model_dump_json(), encoding="utf-8")


def write_own(folder: Path, weights: bool = True) -> Path:
    """A bundle of our own for drawn shapes in English and Arabic; without `weights`, as an int8 one is."""
    captions = [caption for scene in all_scenes() for tag in ("en", "ar") for caption in scene_captions(scene, tag)]
    tokenizer = Tokenizer.build(captions, ["en", "ar"], 1)
    torch.manual_seed(0)
    settings = ModelSettings.model_validate({**MODEL, "decoder": OWN_DECODER})
    network = CaptioningModel(settings, tokenizer.vocab_size, 20, trainable_stages=2)
    folder.mkdir(parents=True)
    tokenizer.save(folder / "tokenizer.json")
    if weights:
        save_half(network, folder / "model.safetensors")
    manifest = {
        "showtell": "0",
        "languages": ["en", "ar"],
        "vocab_size": tokenizer.vocab_size,
        "max_length": 20,
        "grid": network.encoder.grid,
        "pixels": network.encoder.pixels,
        "decode": DecodeSettings(beam_size=1, max_length=20),
        "model": settings.model_dump(mode="json", exclude={"encoder": {"weights"}}),
    }
    write_manifest(folder, manifest)
    return folder
