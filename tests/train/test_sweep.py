"""What a sweep is made of: values, combinations, names of folders."""

from pathlib import Path
from typing import Any

import pytest
from tests.train.tiny_bundles import write_imported

from showtell.errors import BadConfig
from showtell.recipes import find_recipe
from showtell.train.sweep import Combination, combinations, split_values

DATA = "data=karpathy:dataset_coco.json,images"


def made(*settings: str, recipe: str = "convnext-lstm") -> list[Combination]:
    return combinations(find_recipe(recipe), settings, recipe)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1e-4,1e-5", ["1e-4", "1e-5"]),
        ("one", ["one"]),
        ("", []),
        ("a, b", ["a", "b"]),
        ("[en],[en, ar]", ["[en]", "[en, ar]"]),
        ("{output_stride: 16},{}", ["{output_stride: 16}", "{}"]),
        ("'a,b.safetensors',c", ["'a,b.safetensors'", "c"]),
        ("C:/weights/a,/b", ["C:/weights/a", "/b"]),
        ("null,0.5", ["null", "0.5"]),
    ],
)
def test_values_end_where_those_of_a_yaml_list_do(text: str, values: list[str]) -> None:
    assert split_values(text) == values


@pytest.mark.parametrize("text", ["[en", "a],[b", "'a", "a,,b"])
def test_what_is_left_open_is_refused(text: str) -> None:
    with pytest.raises(BadConfig, match="as in a YAML list") as caught:
        split_values(text)
    assert "\n" not in str(caught.value)


def test_every_combination_the_last_key_changing_fastest() -> None:
    found = made("model.encoder=convnext_tiny,convnext_small", "train.encoder_lr=1e-4,1e-5", DATA, "train.epochs=3")
    assert [each.name for each in found] == [
        "encoder=convnext_tiny,encoder_lr=1e-4",
        "encoder=convnext_tiny,encoder_lr=1e-5",
        "encoder=convnext_small,encoder_lr=1e-4",
        "encoder=convnext_small,encoder_lr=1e-5",
    ]
    assert found[1].varied == {"encoder": "convnext_tiny", "encoder_lr": "1e-5"}
    recipes = [each.recipe for each in found]
    assert [(r.model.encoder.name, r.train.encoder_lr) for r in recipes] == [
        ("convnext_tiny", 1e-4),
        ("convnext_tiny", 1e-5),
        ("convnext_small", 1e-4),
        ("convnext_small", 1e-5),
    ]
    assert {(r.data, r.train.epochs) for r in recipes} == {("karpathy:dataset_coco.json,images", 3)}


def test_data_is_never_split_and_varied_by_giving_it_again() -> None:
    found = made(DATA, "data=flickr:Flickr8k", "train.seed=1")
    assert [each.recipe.data for each in found] == ["karpathy:dataset_coco.json,images", "flickr:Flickr8k"]


def test_a_name_does_not_change_when_the_sweep_is_widened() -> None:
    few = {each.name for each in made("train.lr=1e-3,1e-4", DATA)}
    assert few < {each.name for each in made("train.lr=1e-2,1e-3,1e-4", DATA)}


def test_keys_that_end_alike_are_named_in_full() -> None:
    (first, *_) = made("model.decoder.dropout=0,0.1", "model.decoder.width=64", "train.seed=1,2", DATA)
    assert list(first.varied) == ["dropout", "seed"]
    (first, *_) = made("text.kind=words,bpe", "model.decoder.kind=attention,recurrent", DATA)
    assert list(first.varied) == ["text.kind", "model.decoder.kind"]


def test_names_are_safe_and_differ_even_where_capitals_do_not() -> None:
    specs = ["folder:/a/b", "folder:/a:b", "folder:/A/b", "folder:/a b", f"folder:{'long/' * 60}1", "folder:كلب"]
    found = made(*(f"data={spec}" for spec in specs), "train.monitor=CIDEr,loss", "text.min_frequency=1")
    names = [each.name for each in found]
    assert len({name.lower() for name in names}) == len(found) == 12
    assert all(name.isascii() and len(name) <= 120 and not set(name) & set('/\\:*?"<>| ') for name in names)


def refused(*settings: str, recipe: str = "convnext-lstm") -> str:
    with pytest.raises(BadConfig) as caught:
        made(*settings, recipe=recipe)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_all_problems_are_told() -> None:
    told = refused("train.lr=1e-3,fast,-1", "train.epoch=3", "text.min_frequency=1,2")
    assert "found 'fast'" in told and "found -1" in told
    assert told.count("train.epoch is no setting; did you mean 'epochs'?") == 3  # with each value of lr
    assert "more than once" in refused("train.lr=1e-3,1e-3")
    assert "lr=1e-3 and lr=0.001 are the same run" in refused("train.lr=1e-3,0.001")
    assert "nothing to sweep" in refused("train.lr=1e-3")
    assert "expected key=value" in refused("train.lr")


def test_the_recipe_given_is_left_as_it_was() -> None:
    raw: dict[str, Any] = {"train": {"lr": 0.1}}
    combinations(raw, ["train.lr=1,2"], "mine")
    assert raw == {"train": {"lr": 0.1}}


def test_a_model_to_go_on_from_completes_every_combination(tmp_path: Path) -> None:
    blip, other = write_imported(tmp_path / "blip"), write_imported(tmp_path / "other", prompt="there is")
    found = combinations(
        find_recipe("finetune"), ["data=shapes:48", f"train.start_from={blip},{other}", "train.lr=1,2"], "finetune"
    )
    assert len(found) == 4
    prompts = [c.recipe.text.imported.prompt for c in found if c.recipe.text.imported is not None]
    assert prompts == ["a picture of", "a picture of", "there is", "there is"]
