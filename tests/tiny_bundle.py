"""A bundle of a few kilobytes as an imported model has it: graphs whose weights lie in `model.safetensors`, half
precision, and a tokenizer of others. Its network is a table: which token follows which."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tokenizers
from onnx import TensorProto, helper
from safetensors.numpy import save_file
from tokenizers import decoders, models, pre_tokenizers

from showtell import __version__
from showtell.core.bundle import WEIGHTS, write_bundle
from showtell.export.search_nodes import add_search
from showtell.settings import DecodeSettings, ImportedText, PixelSettings

WORDS = ["a", "photo", "of", "dog", "cat", "runs", "."]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
VOCABULARY = len(SPECIAL) + len(WORDS) + 1
"""One more than the tokenizer: the start token, as BLIP's [DEC]."""
START, END = VOCABULARY - 1, 3
NAME = "decoder.table.weight"


def tokenizer() -> tokenizers.Tokenizer:
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *WORDS])}
    backend = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.add_special_tokens(SPECIAL)
    return backend


def ids(text: str) -> list[int]:
    return list(tokenizer().encode(text, add_special_tokens=False).ids)


def table(sentence: str = "a photo of a dog runs .") -> np.ndarray:
    """Logits `[V, V]`: after each word of the sentence the next, for certain, and then the end."""
    logits = np.zeros((VOCABULARY, VOCABULARY), np.float16)
    read = [START, *ids(sentence), END]
    for t in range(len(read) - 1):
        logits[read[t], read[t + 1]] = 20 + t  # after "a" comes what came last
    return logits


def write_parts(folder: Path, logits: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file({NAME: logits}, folder / WEIGHTS)
    offset = 8 + int.from_bytes((folder / WEIGHTS).read_bytes()[:8], "little")
    weight = TensorProto(name=NAME, data_type=TensorProto.FLOAT16, dims=logits.shape)
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": WEIGHTS, "offset": offset, "length": logits.nbytes}.items():
        weight.external_data.add(key=key, value=str(value))
    value = helper.make_tensor_value_info
    memory = value("memory.mean", TensorProto.FLOAT, ["B", 1])
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3])
    encoder = helper.make_graph(
        [
            helper.make_node("ReduceMean", ["pixels", "axes"], ["channels"], keepdims=0),
            helper.make_node("ReduceMean", ["channels", "last"], ["memory.mean"], keepdims=1),
        ],
        "encoder",
        [value("pixels", TensorProto.FLOAT, ["B", 3, "H", "W"])],
        [memory],
        [axes, helper.make_tensor("last", TensorProto.INT64, [1], [1])],
    )
    decoder = helper.make_graph(
        [
            helper.make_node("Cast", [NAME], ["table"], to=TensorProto.FLOAT),
            helper.make_node("Gather", ["table", "tokens"], ["logits"], axis=0),
            helper.make_node("LogSoftmax", ["logits"], ["log_probs"], axis=-1),
        ],
        "decoder",
        [value("tokens", TensorProto.INT64, ["B", "K"]), memory],
        [value("log_probs", TensorProto.FLOAT, ["B", "K", VOCABULARY])],
        [weight],
    )
    for name, graph in (("encoder", encoder), ("decoder", decoder)):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        if name == "decoder":
            add_search(model, "B", "K")
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    onnx.checker.check_model(str(folder / "decoder.onnx"))
    tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "README.md").write_text("A table.", encoding="utf-8")


def manifest(**changes: Any) -> dict[str, Any]:
    text = {"bos_ids": (START,), "eos_id": END, "unk_id": 1, "banned_ids": (0, 1, 2, START), "takes_prompt": True}
    return {
        "showtell": __version__,
        "languages": ("en",),
        "vocab_size": VOCABULARY,
        "max_length": 11,
        "grid": (2, 2),
        "pixels": PixelSettings(size=16),
        "decode": DecodeSettings(beam_size=1, max_length=8, no_repeat_ngram_size=0, truncate=True),
        "model": {},
        "prefix_regions": 1,
        "imported_text": ImportedText(**text),
        "source": {"id": "someone/a-table"},
        **changes,
    }


def write(path: Path, parts: Path, sentence: str = "a photo of a dog runs .", **changes: Any) -> Path:
    write_parts(parts, table(sentence))
    write_bundle(path, manifest(**changes), parts)
    return path
