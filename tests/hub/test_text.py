"""The tokenizer of a model's folder, and how its captions begin and end, against transformers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.models import BPE, WordPiece
from transformers import (
    AutoTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    GitConfig,
    GitForCausalLM,
)

from showtell.core.imported_tokenizer import ImportedTokenizer
from showtell.errors import BadConfig
from showtell.hub.families import FAMILIES
from showtell.hub.generation import read_generation
from showtell.hub.text import imported_text, load_backend, prompt_length
from showtell.settings import ImportedText

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "##s", "photo", "of", "red", ","]
CAPTION = "A photo of a red dog, dogs"
VISION = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
}
TEXT = {
    "vocab_size": 20,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 40,
}


def word_piece() -> Tokenizer:
    backend = Tokenizer(WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return backend


def byte_level() -> Tokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(BPE({**{c: i for i, c in enumerate(letters)}, "<|endoftext|>": 256}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.add_special_tokens(["<|endoftext|>"])
    return backend


def text_of(folder: Path, family: str, config: dict[str, Any], prompt: str | None = None) -> Any:
    return imported_text(FAMILIES[family], config, read_generation(folder, config), word_piece(), prompt)


def test_tokenizer_json_without_truncation_and_padding(tmp_path: Path) -> None:
    backend = word_piece()
    backend.enable_truncation(4)
    backend.enable_padding(length=12)
    backend.save(str(tmp_path / "tokenizer.json"))
    found = load_backend(tmp_path).encode("a photo of a red dogs", add_special_tokens=False)
    assert found.tokens == ["a", "photo", "of", "a", "red", "dog", "##s"]


@pytest.mark.parametrize("name", ["BertTokenizer", "GPT2Tokenizer", "RobertaTokenizer"])
def test_vocabulary_files_become_the_backend_of_transformers(name: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"tokenizer_class": name}
    if name == "BertTokenizer":
        (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
        settings["do_lower_case"] = True
    else:
        vocabulary = byte_level().get_vocab()
        specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        vocabulary |= {token: len(vocabulary) + i for i, token in enumerate(specials)}
        merges = [("d", "o"), ("do", "g"), ("Ġ", "dog")]
        vocabulary |= {"do": 300, "dog": 301, "Ġdog": 302}
        (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
        (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    reference = AutoTokenizer.from_pretrained(tmp_path)
    found = load_backend(tmp_path).encode(CAPTION, add_special_tokens=False).ids
    assert found == reference.encode(CAPTION, add_special_tokens=False) and len(set(found)) > 5


@pytest.mark.parametrize("clean", [True, False, None])
@pytest.mark.parametrize("name", ["BertTokenizer", "GPT2Tokenizer"])
def test_captions_are_decoded_as_transformers_does(name: str, clean: bool | None, tmp_path: Path) -> None:
    backend = word_piece() if name == "BertTokenizer" else byte_level()
    backend.decoder = decoders.WordPiece(cleanup=False) if name == "BertTokenizer" else decoders.ByteLevel()
    backend.save(str(tmp_path / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
    if clean is not None:
        settings["clean_up_tokenization_spaces"] = clean
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    reference = AutoTokenizer.from_pretrained(tmp_path)
    found = load_backend(tmp_path)
    ids = found.encode("a red dog , dogs" if name == "BertTokenizer" else "a dog , n't", add_special_tokens=False).ids
    text = ImportedTokenizer(found, ["en"], ImportedText(bos_ids=(2,), eos_id=3)).decode(ids)
    assert text == reference.decode(ids, skip_special_tokens=True)
    assert (" ," in text) == (name == "GPT2Tokenizer" or not clean)


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"no tokenizer\.json; make one"):
        load_backend(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BadConfig, match=r"tokenizer\.json: no tokenizer") as error:
        load_backend(tmp_path)
    assert "\n" not in str(error.value)


def test_remote_code_is_never_run(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    settings = {"auto_map": {"AutoTokenizer": ["tokens.Mine", None]}, "tokenizer_class": "Mine"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "tokens.py").write_text("raise SystemExit('ran')\n")
    with pytest.raises(BadConfig, match="its tokenizer cannot be loaded"):
        load_backend(tmp_path)


def test_blip_begins_and_ends_as_its_generate_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    text = {**TEXT, "encoder_hidden_size": 32, "bos_token_id": 17, "sep_token_id": 3, "eos_token_id": 2}
    model = BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=VISION)).eval()
    model.save_pretrained(tmp_path)
    found = text_of(tmp_path, "blip", json.loads((tmp_path / "config.json").read_text()))
    with torch.no_grad():
        model.text_decoder.cls.predictions.bias[3] = 100.0  # the end, at once
        generated = model.generate(torch.zeros(1, 3, 32, 32))[0].tolist()
    assert generated == [*found.bos_ids, found.eos_id] == [17, 3]
    assert found.takes_prompt and found.unk_id == 1


def test_blips_prompt_has_the_ids_that_its_processor_makes(tmp_path: Path) -> None:
    """Its `generate` replaces the first of the processor's ids, [CLS], and removes the last, [SEP]."""
    text = text_of(tmp_path, "blip", {"text_config": {"bos_token_id": 17, "sep_token_id": 3}}, "a photo of")
    backend = word_piece()
    whole = backend.encode("a photo of").ids
    assert [*text.bos_ids, *backend.encode(text.prompt, add_special_tokens=False).ids] == [17, *whole[1:-1]]
    assert prompt_length(text, backend) == 4


def test_git_begins_and_ends_as_its_generate_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = GitConfig(vision_config=VISION, **TEXT, bos_token_id=2, eos_token_id=3, pad_token_id=0)
    model = GitForCausalLM(config).eval()
    model.save_pretrained(tmp_path)
    found = text_of(tmp_path, "git", json.loads((tmp_path / "config.json").read_text()))
    with torch.no_grad():
        model.output.bias[3] = 100.0
        generated = model.generate(pixel_values=torch.zeros(1, 3, 32, 32))[0].tolist()
    assert generated == [*found.bos_ids, found.eos_id] == [2, 3]
    assert found.takes_prompt


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"decoder_start_token_id": 5, "decoder": {"bos_token_id": 6, "eos_token_id": 7}}, ((5,), 7)),
        ({"decoder": {"decoder_start_token_id": 5, "bos_token_id": 6, "eos_token_id": 7}}, ((5,), 7)),
        ({"eos_token_id": 8, "decoder": {"bos_token_id": 6, "eos_token_id": 7}}, ((6,), 8)),
        ({"eos_token_id": [8], "decoder": {"bos_token_id": 6}}, ((6,), 8)),
    ],
)
def test_an_encoder_decoders_start_and_end(config: dict[str, Any], expected: Any, tmp_path: Path) -> None:
    found = text_of(tmp_path, "vision-encoder-decoder", config)
    assert (found.bos_ids, found.eos_id) == expected and not found.takes_prompt


@pytest.mark.parametrize(
    ("decoder", "banned"),
    [
        ({"model_type": "roberta"}, (1, 9)),
        ({"model_type": "roberta", "pad_token_id": 5}, (5, 9)),
        ({"model_type": "roberta", "pad_token_id": 3}, (9,)),  # it is the end, too
        ({"model_type": "bert", "pad_token_id": 5}, (9,)),
        ({"model_type": "trocr", "pad_token_id": 5}, (9,)),
        ({"model_type": "trocr", "pad_token_id": 5, "use_learned_position_embeddings": False}, (5, 9)),
    ],
)
def test_padding_with_a_position_of_its_own_is_never_written(
    decoder: dict[str, Any], banned: tuple[int, ...], tmp_path: Path
) -> None:
    (tmp_path / "generation_config.json").write_text('{"bos_token_id": 2, "eos_token_id": 3, "suppress_tokens": [9]}')
    assert text_of(tmp_path, "vision-encoder-decoder", {"decoder": decoder}).banned_ids == banned


def test_a_tokenizer_config_that_is_no_object(tmp_path: Path) -> None:
    byte_level().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text("[]")
    with pytest.raises(BadConfig, match=r"tokenizer_config\.json: found no JSON object; fetch it again"):
        load_backend(tmp_path)


def test_gpt2_has_no_unknown_token(tmp_path: Path) -> None:
    config = {"bos_token_id": 256, "eos_token_id": 256}
    text = imported_text(FAMILIES["vision-encoder-decoder"], config, read_generation(tmp_path, config), byte_level())
    assert text.unk_id is None
    unigram = Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0)], unk_id=0))
    text = imported_text(FAMILIES["vision-encoder-decoder"], config, read_generation(tmp_path, config), unigram)
    assert text.unk_id == 0


@pytest.mark.parametrize(
    ("family", "config", "prompt", "problem"),
    [
        ("vision-encoder-decoder", {"bos_token_id": 1, "eos_token_id": 2}, "a photo", "found --prompt"),
        ("vision-encoder-decoder", {"eos_token_id": 2}, None, "no decoder_start_token_id"),
        ("vision-encoder-decoder", {"bos_token_id": 1}, None, r"found end tokens \[\]"),
        ("vision-encoder-decoder", {"bos_token_id": 1, "eos_token_id": [2, 3]}, None, r"found end tokens \[2, 3\]"),
    ],
)
def test_what_does_not_fit_is_refused(
    family: str, config: dict[str, Any], prompt: str | None, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(BadConfig, match=problem):
        text_of(tmp_path, family, config, prompt)
