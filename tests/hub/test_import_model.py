"""From a folder or a hub to a bundle, which captions photos as transformers does."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tests.cli.in_process import showtell
from tests.hub.fake_hub import COMMIT, ID, Repository, serving, use
from tests.hub.tiny_repository import repository, write

from showtell import Captioner
from showtell.core.bundle import load_bundle
from showtell.core.image import load_image
from showtell.errors import BadBundle, BadConfig, ExportMismatch
from showtell.hub import import_model as module
from showtell.hub.card import CardFacts, model_card
from showtell.hub.checkpoint import Checkpoint
from showtell.hub.import_model import import_model
from showtell.hub.original import Original, fit_positions, fit_vocabulary, read_original
from showtell.hub.source import Source
from showtell.progress import ProgressReporter
from showtell.settings import DecodeSettings, ImportedText, ModelSettings, PixelSettings

PHOTOS = sorted((Path(__file__).parents[2] / "examples").glob("*.jpg"))
GENERATION = {
    "num_beams": 3,
    "max_length": 12,
    "length_penalty": 0.8,
    "no_repeat_ngram_size": 2,
    "early_stopping": True,
}


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return repository("blip", tmp_path_factory.mktemp("original"), {**GENERATION, "early_stopping": True})


@pytest.fixture(scope="module")
def imported(blip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The bundle, and what the command printed to stderr."""
    folder = tmp_path_factory.mktemp("imported")
    files = {file.name: file.read_bytes() for file in blip.iterdir()}
    with pytest.MonkeyPatch.context() as monkeypatch, serving(Repository(files)) as hub:
        use(hub, folder / "cache", monkeypatch)
        done = showtell("import", ID, folder / "bundle")
    assert (done.returncode, done.stdout) == (0, "")
    assert {file.name for file in folder.iterdir()} == {"cache", "bundle"}
    yield folder / "bundle", done.stderr


def test_captions_of_photos_are_those_of_transformers(imported: tuple[Path, str], blip: Path) -> None:
    """Its processor, model, `generate` and tokenizer, from the pixels of the whole photo to the text. (Of a file, JPEGs
    of twice the size are decoded at a part of it, which is close and not the same.)"""
    processor = transformers.AutoImageProcessor.from_pretrained(blip, backend="pil")
    tokenizer = transformers.AutoTokenizer.from_pretrained(blip)
    model = transformers.BlipForConditionalGeneration.from_pretrained(blip).eval()
    images = [np.asarray(load_image(photo)) for photo in PHOTOS]
    pixels = processor(images, return_tensors="pt")["pixel_values"]
    settings = {**GENERATION, "early_stopping": "never"}
    rows = model.generate(pixels, **settings)
    expected = [tokenizer.decode(row, skip_special_tokens=True).strip() for row in rows]
    captioner = Captioner.load(imported[0], threads=1)
    assert [captioner.caption(image).text for image in images] == expected
    assert len(set(expected)) > 1
    prompt = tokenizer("a photo of", return_tensors="pt").input_ids.repeat(len(images), 1)
    prompt = torch.nn.functional.pad(prompt, (1, 1))  # the start, and what `generate` cuts off
    # `max_length` counts the prompt in transformers, and not in ours.
    rows = model.generate(pixels, input_ids=prompt, **{**settings, "max_length": 12 + 3})
    expected = [tokenizer.decode(row, skip_special_tokens=True).strip() for row in rows]
    assert [captioner.caption(image, prompt="a photo of").text for image in images] == expected


def test_the_manifest_says_where_the_model_comes_from(imported: tuple[Path, str]) -> None:
    manifest = load_bundle(imported[0]).manifest
    source = manifest.source
    assert (source["id"], source["revision"], source["licence"]) == (ID, COMMIT, "mit")
    assert (source["family"], source["precision"]) == ("blip", "half")
    assert {row["beam_size"] for row in source["parity"]["searches"]} >= {1, 3, 5}
    assert len(source["not_followed"]) == 1 and "early_stopping" in source["not_followed"][0]
    assert manifest.decode.model_dump(include={"beam_size", "max_length", "truncate", "no_repeat_ngram_size"}) == {
        "beam_size": 3,
        "max_length": 11,
        "truncate": True,
        "no_repeat_ngram_size": 2,
    }
    assert (manifest.max_length, manifest.prefix_regions, manifest.grid) == (23, 1, (4, 4))


def test_the_card(imported: tuple[Path, str]) -> None:
    card = (imported[0] / "README.md").read_text(encoding="utf-8")
    for expected in (
        f"https://huggingface.co/{ID}",
        f"revision `{COMMIT}`",
        "| licence | mit |",
        "blip (BlipForConditionalGeneration)",
        "beam size 3",
        "8 of 8",
        "early_stopping",
        "train.start_from=DIR",
    ):
        assert expected in card


def test_nothing_names_this_machine(imported: tuple[Path, str], blip: Path) -> None:
    for file in imported[0].iterdir():
        content = file.read_bytes()
        assert str(imported[0].parent).encode() not in content and str(blip).encode() not in content, file.name


def test_progress_is_said_step_by_step(imported: tuple[Path, str]) -> None:
    lines = imported[1].splitlines()
    steps = ["licence: mit", "not followed", "writing", "ONNX Runtime", "transformers", "same as transformers", "next:"]
    positions = [next(i for i, line in enumerate(lines) if step in line) for step in steps]
    assert positions == sorted(positions) and len(lines) == len(steps)


@pytest.fixture(scope="module")
def reduced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A bundle in eight bits, from a folder, and what the command printed to stderr."""
    folder = tmp_path_factory.mktemp("reduced")
    original = repository("vit-gpt2", folder / "vit gpt2", {"num_beams": 2, "max_length": 8})
    done = showtell("import", original, folder / "bundle", "--precision", "int8", "--lang", "pt_br")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    return folder / "bundle", done.stderr


def test_eight_bits_and_what_they_lose(reduced: tuple[Path, str]) -> None:
    bundle = load_bundle(reduced[0])
    source = bundle.manifest.source
    assert (source["id"], source["revision"], source["precision"]) == ("vit gpt2", None, "int8")
    loss = source["int8"]
    assert loss["images"] == 8 and 0 <= loss["same"] <= 8 and 0 < loss["mean"] < loss["largest"] < 1
    assert not (reduced[0] / "model.safetensors").exists()
    card = (reduced[0] / "README.md").read_text(encoding="utf-8")
    stays = f"{loss['same']} of 8 captions of sample images stay the same"
    assert "## What int8 costs" in card and stays in card and stays in reduced[1]


def test_its_language_and_tokenizer(reduced: tuple[Path, str]) -> None:
    captioner = Captioner.load(reduced[0], threads=1)
    assert captioner.bundle.manifest.languages == ("pt-BR",)
    captions = [captioner.caption(photo).text for photo in PHOTOS]
    assert all(captions) and not any("Ġ" in caption for caption in captions)


class Reached(Exception):
    """So far and no further."""


def stop(*arguments: Any, **options: Any) -> Any:
    raise Reached


@pytest.mark.parametrize("error", [ExportMismatch("they differ"), KeyboardInterrupt(), OSError(28, "full")])
@pytest.mark.parametrize("step", ["export_graphs", "check"])
def test_whatever_happens_nothing_is_left(
    step: str, error: BaseException, blip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        assert any(tmp_path.iterdir())  # it works beside the bundle
        raise error

    monkeypatch.setattr(module, step, fail)
    if step == "check":
        monkeypatch.setattr(module, "write_graphs", lambda *_: SimpleNamespace(graphs=None))
        monkeypatch.setattr(module, "load_reference", lambda *_: None)
    with pytest.raises(type(error)):
        import_model(str(blip), tmp_path / "bundle", None, "half", "en", None, ProgressReporter())
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken_is_refused_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "fetch", stop)
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(BadBundle, match="holds other files"):
        import_model(ID, tmp_path, None, "half", "en", None, ProgressReporter())
    with pytest.raises(BadBundle, match=r"letter.txt is a file\); give another"):
        import_model(ID, tmp_path / "letter.txt" / "new", None, "half", "en", None, ProgressReporter())
    with pytest.raises(Reached):
        import_model(ID, tmp_path / "new", None, "half", "en", None, ProgressReporter())


def test_added_tokens_that_the_network_lacks_are_left_out(blip: Path, tmp_path: Path) -> None:
    """Such as a padding token of a tokenizer, for which nobody resized the network."""
    shutil.copytree(blip, tmp_path / "original")
    original = read(tmp_path / "original")
    vocab_size = original.tokenizer.vocab_size
    assert fit_vocabulary(original, vocab_size).tokenizer.backend is original.tokenizer.backend
    original.tokenizer.backend.add_special_tokens(["<pad>"])
    original.tokenizer.backend.add_tokens(["<object>"])
    fitted = fit_vocabulary(original, vocab_size).tokenizer
    assert fitted.vocab_size == vocab_size and original.tokenizer.vocab_size == vocab_size + 2
    prompt = "a photo of <object> [SEP]"
    assert fitted.prompt_ids("en", prompt) == read(tmp_path / "original").tokenizer.prompt_ids("en", prompt)
    with pytest.raises(BadConfig, match=f"found {vocab_size} tokens in the tokenizer, 60 in the network"):
        fit_vocabulary(original, 60)


@pytest.mark.parametrize(
    ("file", "changes", "problem"),
    [
        ("preprocessor_config.json", {"resample": 9}, "9 is not a valid Resampling"),
        ("preprocessor_config.json", {"image_std": [0.5, 0.5, 0.0]}, r"expected numbers above 0; this cannot be"),
        ("preprocessor_config.json", {"rescale_factor": 0}, "division by zero"),
        ("preprocessor_config.json", {"image_mean": "abc"}, "could not convert"),
        ("config.json", {"vision_config": {"patch_size": 0}}, "by zero"),
        ("config.json", {"text_config": {"num_attention_heads": 0}}, "heads 0: Input should be greater"),
        ("config.json", {"text_config": {"hidden_size": "x"}}, r"expected int, got str \(value: 'x'\)"),
        ("config.json", {"text_config": {"sep_token_id": 61}}, "the end token 61; the network has 61 tokens"),
        ("config.json", {"text_config": {"bos_token_id": 99}}, "the start token 99; the network has 61 tokens"),
        ("generation_config.json", {"suppress_tokens": [99]}, "the suppressed token 99; the network has 61 tokens"),
        ("generation_config.json", {"num_beams": "x"}, "'str' and 'int'"),
        ("generation_config.json", {"num_beams": 0}, "beam_size 0: Input should be greater"),
        (
            "generation_config.json",
            {"max_length": 1},
            "expected room for one more: give a shorter --prompt",
        ),
    ],
)
def test_a_setting_of_any_type_and_size_is_one_sentence(
    file: str, changes: dict[str, Any], problem: str, blip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "write_graphs", stop)
    shutil.copytree(blip, tmp_path / "original")
    content = json.loads((tmp_path / "original" / file).read_text(encoding="utf-8"))
    for name, value in changes.items():
        content[name] = {**content[name], **value} if isinstance(value, dict) else value
    write(tmp_path / "original" / file, content)
    with pytest.raises(BadConfig, match=problem) as raised:
        import_model(str(tmp_path / "original"), tmp_path / "new", None, "half", "en", None, ProgressReporter())
    assert "\n" not in str(raised.value) and "expected" in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["original"]


def test_a_prompt_of_two_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "fetch", stop)
    with pytest.raises(BadConfig, match=r"--prompt: found 'a\\nphoto'; expected a text of one line"):
        import_model(ID, tmp_path / "new", None, "half", "en", "a\nphoto", ProgressReporter())


def test_an_unknown_language(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="--lang: found '12'"):
        import_model(ID, tmp_path / "new", None, "half", "12", None, ProgressReporter())


def read(folder: Path, prompt: str | None = None, language: str = "en") -> Original:
    source = Source(folder, folder.name, None, None)
    return read_original(source, Checkpoint(folder).config, language, prompt)


def test_a_default_prompt(blip: Path) -> None:
    original = read(blip, "a photo of", "de")
    assert original.tokenizer.prompt_ids("de") == [2, 4, 5, 6]
    assert original.decode.max_length == 12 - 4  # max_length counts the prompt
    assert read(blip).decode.max_length == 12 - 1


def test_captions_are_no_longer_than_the_positions(blip: Path) -> None:
    original = read(blip, "a photo of")
    assert fit_positions(original, 11) == original
    fitted = fit_positions(original, 9)
    assert fitted.decode.max_length == 6 and "positions for 6" in fitted.notes[-1]
    with pytest.raises(BadConfig, match="4 tokens of --prompt"):
        fit_positions(original, 3)


def test_other_kinds_of_models_are_refused_by_name(blip: Path, tmp_path: Path) -> None:
    for name in ("tokenizer.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((blip / name).read_bytes())
    write(tmp_path / "config.json", {"model_type": "llava"})
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(BadConfig, match="'llava', which cannot be imported; expected one of blip"):
        read_original(Source(tmp_path, "x", None, None), {"model_type": "llava"}, "en", None)


def facts(**changes: Any) -> CardFacts:
    text = ImportedText(bos_ids=(1,), eos_id=2)
    source = Source(Path("/home/alice/mine"), "mine", None, None)
    model, pixels, decode = ModelSettings(), PixelSettings(), DecodeSettings(beam_size=1)
    parity = "| search |"
    whole = CardFacts(source, "git", "GitForCausalLM", model, 12_300_000, pixels, text, decode, (), parity, None)
    return dataclasses.replace(whole, **changes)


def test_the_card_of_a_folder_with_int8_weights() -> None:
    card = model_card(facts(int8="log-probabilities within 0.2"))
    assert "/home/alice" not in card and "the folder `mine`" in card and "12.3 million" in card
    assert "not stated by the original" in card and "cannot be fine-tuned" in card and "within 0.2" in card
    assert "--prompt" not in card and "greedy search" in card and "not followed" not in card
