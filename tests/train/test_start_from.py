"""What a run takes over from a bundle, and what is refused before anything is computed."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.manifests import write_manifest
from tests.train.tiny_bundles import MODEL, POSITIONS, write_imported, write_own

from showtell.config import apply_overrides, dump_recipe, parse_recipe
from showtell.core.bundle import load_bundle
from showtell.errors import BadBundle, BadConfig
from showtell.recipes import find_recipe
from showtell.settings import Recipe
from showtell.train.run_folder import RunFolder
from showtell.train.setup import resolve_recipe
from showtell.train.start_from import complete, leaves_model_open


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_imported(tmp_path_factory.mktemp("imported") / "blip")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_own(tmp_path_factory.mktemp("own") / "mine")


def completed(name: str, start: Path, *changes: str) -> Recipe:
    raw = apply_overrides(find_recipe(name), ["data=shapes:48", f"train.start_from={start}", *changes])
    return parse_recipe(complete(raw), name)


def test_model_tokenizer_and_decode_settings_are_those_of_the_bundle(imported: Path) -> None:
    recipe, manifest = completed("finetune", imported), load_bundle(imported).manifest
    assert recipe.text.kind == "imported" and recipe.text.imported == manifest.imported_text
    assert recipe.text.vocab_size == manifest.vocab_size and recipe.text.languages == ("en",)
    assert recipe.decode == manifest.decode
    decoder = recipe.model.decoder.model_dump()
    assert {key: decoder[key] for key in MODEL["decoder"]} == MODEL["decoder"]
    assert recipe.model.encoder.pixels.model_dump() == manifest.pixels.model_dump()
    assert not recipe.model.encoder.pretrained  # nothing is fetched: the weights are the bundle's
    assert parse_recipe(find_recipe("finetune"), "finetune").train == recipe.train.model_copy(
        update={"start_from": None}
    )


def test_the_completed_recipe_can_be_given_again(imported: Path, tmp_path: Path) -> None:
    """As `config.yaml` of the run is."""
    recipe = resolve_recipe(completed("finetune", imported, "model.decoder.dropout=0.3"), [])
    file = tmp_path / "config.yaml"
    file.write_text(dump_recipe(recipe))
    assert parse_recipe(complete(find_recipe(str(file))), "again") == recipe


def test_what_is_of_training_alone_may_differ(imported: Path) -> None:
    changes = ["model.decoder.dropout=0.25", "decode.beam_size=4", "train.lr=0.1", "text.languages=[de]"]
    recipe = completed("finetune", imported, *changes, "text.imported.prompt=there is")
    assert recipe.model.decoder.dropout == 0.25 and recipe.decode.beam_size == 4
    assert recipe.decode.max_length == 20  # the bundle's
    assert recipe.text.languages == ("de",)  # one tokenizer for all
    assert recipe.text.imported is not None and recipe.text.imported.prompt == "there is"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["model.decoder.width=32"], "model.decoder.width is 64 in .*blip, 32 here"),
        (["model.decoder.kind=attention"], "model.decoder.kind is 'transformer' in .*, 'attention' here"),
        (["model.encoder=test_vit"], "model.encoder.name is 'test_resnet' in .*, 'test_vit' here"),
        (["model.encoder.pixels.size=64"], "model.encoder.pixels is .*'size': 32.* in .*'size': 64.* here"),
        (["model.encoder_weights=a.safetensors"], "model.encoder.weights is None in .*, 'a.safetensors' here"),
        (["text.kind=words"], "text.kind is 'imported' in .*, 'words' here"),
        (["text.vocab_size=99"], "text.vocab_size is .* in .*, 99 here"),
        (["text.imported.eos_id=9"], "text.imported is .*'eos_id': 3.*'eos_id': 9.* here"),
    ],
    ids=str,
)
def test_what_contradicts_the_bundle_is_refused_with_both_values(
    changes: list[str], message: str, imported: Path
) -> None:
    with pytest.raises(BadConfig, match="train.start_from: " + message):
        completed("finetune", imported, *changes)


def test_a_recipe_with_a_model_of_its_own_must_have_the_bundles(imported: Path, own: Path) -> None:
    with pytest.raises(BadConfig, match=r"is .* in .*blip, .* here; expected the same: leave it out"):
        completed("default", imported)
    assert completed("shapes", own, "model.encoder.pixels.size=32").model.decoder.width == 64


def test_problems_of_the_recipe_are_still_named(imported: Path) -> None:
    with pytest.raises(BadConfig, match=r"model.decoder.widht is no setting; did you mean 'width'"):
        completed("finetune", imported, "model.decoder.widht=3")


def test_our_own_tokenizer_is_taken_as_it_is(own: Path) -> None:
    recipe = completed("finetune", own, "text.min_frequency=9")
    assert (recipe.text.kind, recipe.text.imported, recipe.text.vocab_size) == ("words", None, None)
    assert recipe.text.languages == ("en", "ar")
    with pytest.raises(BadConfig, match=r"text.languages is \['en', 'ar'\] in .*, \['en'\] here"):
        completed("finetune", own, "text.languages=[en]")


@pytest.mark.parametrize(("prompt", "expected"), [("", 30), ("a picture of", 30), ("a " * 20, POSITIONS - 21)])
def test_captions_are_as_long_as_positions_allow(prompt: str, expected: int, tmp_path: Path) -> None:
    """The start token, the prompt and the caption have positions; the end is never read."""
    assert completed("finetune", write_imported(tmp_path / "b", prompt)).text.max_length == expected


def test_a_model_that_takes_no_prompt_is_given_none(tmp_path: Path) -> None:
    bundle = write_imported(tmp_path / "b")
    manifest = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    manifest["imported_text"]["takes_prompt"] = False
    write_manifest(bundle, manifest)
    assert completed("finetune", bundle, "text.imported.prompt=").text.imported
    with pytest.raises(BadConfig, match=r"text.imported.prompt: found a prompt; the model in .* takes none: leave it"):
        completed("finetune", bundle, "text.imported.prompt=there is")


def test_a_bundle_without_weights_to_train_is_refused(own: Path, tmp_path: Path) -> None:
    bundle = write_own(tmp_path / "int8", weights=False)
    with pytest.raises(BadConfig, match=r"int8 has no model.safetensors, as int8 bundles .* expected one"):
        resolve_recipe(completed("finetune", bundle), [])


def test_a_damaged_bundle_is_refused(tmp_path: Path) -> None:
    bundle = write_imported(tmp_path / "b")
    (bundle / "tokenizer.json").write_text("{}")
    with pytest.raises(BadBundle, match=r"tokenizer\.json"):
        completed("finetune", bundle)


def test_a_recipe_that_leaves_the_model_open_continues_a_run(tmp_path: Path) -> None:
    first = resolve_recipe(
        parse_recipe(apply_overrides(find_recipe("shapes"), ["text.languages=[en,ar]", "data=shapes:48"]), "test"), []
    )
    RunFolder(tmp_path / "run").open(first)
    recipe = completed("finetune", tmp_path / "run")
    assert (recipe.model, recipe.text, recipe.decode) == (first.model, first.text, first.decode)
    for name, problem in (
        ("Salesforce/blip-image-captioning-base", "`showtell import Salesforce/blip-image-captioning-base DIR`"),
        ("nothing", "no such model folder"),
        (str(tmp_path), "no bundle.json in it"),
    ):
        with pytest.raises(BadConfig, match=f"train.start_from: {name}: .*{problem}"):
            completed("finetune", Path(name))


def test_without_a_beginning_nothing_changes() -> None:
    raw: dict[str, Any] = find_recipe("shapes")
    assert complete(raw) == raw and not leaves_model_open(raw)
    assert leaves_model_open(find_recipe("finetune"))
