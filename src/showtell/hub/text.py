"""The tokenizer of a model, and how captions begin and end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import tokenizers

from showtell.core.imported_tokenizer import clean_up_spaces
from showtell.errors import BadConfig
from showtell.hub.families import FAMILIES, Family
from showtell.hub.generation import Generation
from showtell.settings import ImportedText

FILE: Final = "tokenizer.json"
_VOCABULARIES: Final = (("vocab.txt",), ("vocab.json", "merges.txt"))


def load_backend(folder: Path) -> tokenizers.Tokenizer:
    """`tokenizer.json`, or what transformers makes of `vocab.txt`, or of `vocab.json` and `merges.txt`; without
    truncation and padding, and with transformers' clean-up of spaces where the model asks for it.

    Raises BadConfig when there is none of them.
    """
    if (folder / FILE).exists():
        try:
            backend = tokenizers.Tokenizer.from_file(str(folder / FILE))
        except Exception as error:
            raise BadConfig(f"{folder / FILE}: no tokenizer ({error}); fetch it again") from error
    else:
        backend = _from_vocabulary(folder)
    # Of the model's training; a caption is never padded.
    backend.no_truncation()
    backend.no_padding()
    if _cleans_up(folder, backend):
        clean_up_spaces(backend)
    return backend


def _cleans_up(folder: Path, backend: tokenizers.Tokenizer) -> bool:
    """Whether transformers' `decode` removes spaces before punctuation: if tokenizer_config.json says so, and not of a
    byte-level BPE, which spells its own spaces."""
    try:
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise BadConfig(f"{folder / 'tokenizer_config.json'}: cannot be read ({error}); fetch it again") from error
    if not isinstance(settings, dict):
        raise BadConfig(f"{folder / 'tokenizer_config.json'}: found no JSON object; fetch it again")
    is_bpe = type(backend.model).__name__ == "BPE"
    forced = settings.get("clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", False)
    return bool(settings.get("clean_up_tokenization_spaces", False) and (forced or not is_bpe))


def fit_vocabulary(backend: tokenizers.Tokenizer, vocab_size: int) -> tokenizers.Tokenizer:
    """Without added tokens that the network lacks, such as a padding token that came after training: they are never
    written, and have no embedding that a prompt could use. `vocab_size`: the network's.

    Raises BadConfig when the vocabulary itself is larger than the network's.
    """
    if backend.get_vocab_size() <= vocab_size:
        return backend
    content = json.loads(backend.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["id"] < vocab_size]
    fitted = tokenizers.Tokenizer.from_str(json.dumps(content))
    if (found := fitted.get_vocab_size()) > vocab_size:
        raise BadConfig(
            f"found {found} tokens in the tokenizer, {vocab_size} in the network; expected no more than the network "
            "has: the files are of different models"
        )
    return fitted


def _from_vocabulary(folder: Path) -> tokenizers.Tokenizer:
    from transformers import AutoTokenizer

    if not any(all((folder / name).exists() for name in names) for names in _VOCABULARIES):
        raise BadConfig(
            f"{folder}: no {FILE}; make one where transformers is installed, with AutoTokenizer.from_pretrained(...)"
            ".save_pretrained(DIR)"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        return tokenizers.Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise BadConfig(f"{folder}: its tokenizer cannot be loaded ({reason}); expected {FILE}") from error


def imported_text(
    family: Family,
    config: dict[str, Any],
    generation: Generation,
    backend: tokenizers.Tokenizer,
    prompt: str | None = None,
) -> ImportedText:
    """`config`: the content of `config.json`; `prompt`: the default beginning of captions.

    BLIP begins with a token that its tokenizer does not have, and ends with BERT's separator: its `generate` sets both.
    Raises BadConfig for a prompt to a family that takes none, and unless there is one start and one end.
    """
    if prompt and not family.takes_prompt:
        others = " and ".join(name for name, other in FAMILIES.items() if other.takes_prompt)
        raise BadConfig(f"found --prompt; models of the family {family.name} take none, only those of {others} do")
    eos_ids: tuple[int, ...]
    if family.name == "blip":
        text = config.get("text_config") or {}
        bos, eos_ids = text.get("bos_token_id", 30522), (text.get("sep_token_id", 102),)  # BlipTextConfig's defaults
    elif family.name == "git":
        bos, eos_ids = generation.config.bos_token_id, generation.eos_ids
        bos = config.get("bos_token_id", 101) if bos is None else bos  # GitConfig's defaults
        eos_ids = eos_ids or (config.get("eos_token_id", 102),)
    else:
        bos, eos_ids = generation.start_id, generation.eos_ids
    if bos is None:
        raise BadConfig(
            "found no decoder_start_token_id and no bos_token_id; expected one of them in generation_config.json"
        )
    if len(eos_ids) != 1:
        raise BadConfig(f"found end tokens {list(eos_ids)}; expected one eos_token_id in generation_config.json")
    return ImportedText(
        bos_ids=(int(bos),),
        eos_id=int(eos_ids[0]),
        unk_id=_unk_id(backend, {int(bos), int(eos_ids[0])}),
        banned_ids=tuple(sorted({*generation.banned_ids, *_padding(config)} - {int(bos), int(eos_ids[0])})),
        takes_prompt=family.takes_prompt,
        prompt=prompt or "",
    )


def _padding(config: dict[str, Any]) -> set[int]:
    """The padding token of decoders that give it a position of its own wherever it stands, RoBERTa's and TrOCR's with
    sinusoids: a trained model never writes it, and ours must not."""
    decoder = config.get("decoder") or {}
    has_sinusoids = decoder.get("model_type") == "trocr" and not decoder.get("use_learned_position_embeddings", True)
    if decoder.get("model_type") != "roberta" and not has_sinusoids:
        return set()
    return {int(decoder.get("pad_token_id", 1))}  # the default of both


def prompt_length(text: ImportedText, backend: tokenizers.Tokenizer) -> int:
    """Tokens before the first generated one."""
    return len(text.bos_ids) + len(backend.encode(text.prompt, add_special_tokens=False).ids)


def _unk_id(backend: tokenizers.Tokenizer, others: set[int]) -> int | None:
    """None where the tokenizer has no unknown token of its own: GPT-2's is its end."""
    model = json.loads(backend.to_str())["model"]  # the Python object of a unigram model does not have it
    found = model.get("unk_id")
    if found is None and (token := model.get("unk_token")):
        found = backend.token_to_id(token)
    return None if found is None or found in others else int(found)
