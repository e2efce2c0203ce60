import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from showtell.config import apply_overrides, dump_recipe, nearest, parse_recipe, read_recipe
from showtell.errors import BadConfig
from showtell.renamed_settings import RENAMED
from showtell.settings import (
    DECODER_KINDS,
    AttentionSettings,
    EncoderSettings,
    ModelSettings,
    Recipe,
    Settings,
    TransformerSettings,
)


def parse(text: str) -> Recipe:
    return parse_recipe(yaml.safe_load(text), "own.yaml")


def refusal(text: str) -> str:
    with pytest.raises(BadConfig) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith("own.yaml: ") and "\n" not in message
    return message.removeprefix("own.yaml: ")


def test_a_value_of_a_thousand_million_items_is_shown_in_part() -> None:
    """YAML's aliases need a few lines for that."""
    laughs = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    assert len(refusal(f"a0: &a0 [x]\n{laughs}train: {{epochs: *a11}}")) < 4000
    assert "'x" + 100 * "y" in refusal(f"train: {{epochs: x{100 * 'y'}}}")


def test_what_is_not_said_has_its_default() -> None:
    assert parse("{}") == Recipe()
    assert parse("train: {epochs: 3}").train == Recipe().train.model_copy(update={"epochs": 3})
    assert parse("model: {decoder: {width: 96}}").model.decoder == TransformerSettings(width=96)
    assert parse("model: {decoder: {kind: attention}}").model.decoder == AttentionSettings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: {epoch: 3}", "train.epoch is no setting; did you mean 'epochs'?"),
        ("trian: {}", "trian is no setting; did you mean 'train'?"),
        ("model: {decoder: {kind: transformer, head: 2}}", "model.decoder.head is no setting; did you mean 'heads'?"),
        ("model: {encoder: {pixels: {sise: 3}}}", "model.encoder.pixels.sise is no setting; did you mean 'size'?"),
        ("model: {encoder_weight: x}", "model.encoder.weight is no setting; did you mean 'weights'?"),
        (
            "text: {qqq: 1}",
            "text.qqq is no setting; expected one of: imported, kind, languages, max_length, min_frequency, splits, "
            "vocab_size",
        ),
        (
            # Settings of one decoder are no settings of the other.
            "model: {decoder: {kind: recurrent, norm: pre}}",
            "model.decoder.norm is no setting; expected one of: biases, cell, dropout, embedding_dim, "
            "embedding_dropout, head, image, kind, layers, width",
        ),
    ],
)
def test_an_unknown_key_names_the_nearest(text: str, message: str) -> None:
    assert refusal(text) == message


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("train: {lr: 0}", "train.lr: "),
        ("train: {epochs: many}", "train.epochs: "),
        ("train: {epochs: 2.5}", "train.epochs: "),
        ("train: {dropout: .nan}", "train.dropout is no setting"),
        ("train: {weight_decay: .nan}", "train.weight_decay: "),
        ("train: {precision: 8-bit}", "train.precision: "),
        ("text: {languages: [french]}", "text.languages.0: "),
        ("text: {languages: []}", "text.languages: "),
        ("model: {decoder: {kind: gru}}", "model.decoder: "),
        ("model: {decoder: 3}", "model.decoder: "),
        ("model: {encoder: 3}", "model.encoder: "),
        ("model: {encoder: {pixels: {mean: [0.5]}}}", "model.encoder.pixels.mean.2 is missing"),
        ("model: {1: 2}", "model."),
        ("1: 2", "1: "),
        ("model:", "model: "),
        ("data: 3", "data: "),
    ],
)
def test_a_wrong_value_is_named_with_its_place(text: str, where: str) -> None:
    assert refusal(text).startswith(where) or f"; {where}" in refusal(text)


def test_all_problems_are_reported_at_once() -> None:
    text = (
        "{train: {epoch: 3, lr: -1}, decode: {beam_size: 65}, trian: {}, "
        "model: {decoder: {kind: transformer, heads: x}}}"
    )
    problems = refusal(text).split("; ")
    for place in ("train.epoch ", "train.lr: ", "decode.beam_size: ", "trian ", "model.decoder.heads: "):
        assert sum(problem.startswith(place) for problem in problems) == 1
    assert "found -1" in refusal(text) and "found 65" in refusal(text) and "found 'x'" in refusal(text)


@pytest.mark.parametrize("raw", [None, [], "train", 3])
def test_a_recipe_is_a_mapping(raw: object) -> None:
    with pytest.raises(BadConfig, match=r"^own.yaml: found \w+; expected sections such as model, text"):
        parse_recipe(raw, "own.yaml")


def test_types() -> None:
    """YAML's own reading of numbers has gaps (`1e-4` is a string to it); a recipe's has not."""
    recipe = parse(
        "{train: {lr: 1e-4, epochs: '3'}, text: {languages: [en, ar]}, "
        "model: {encoder: {weights: a/b.safetensors, timm_kwargs: {a: 1, b: 2.5, c: same, d: true}, "
        "remove_blocks: [x.1]}}}"
    )
    assert recipe.train.lr == 1e-4 and recipe.train.epochs == 3 and type(recipe.train.epochs) is int
    assert recipe.text.languages == ("en", "ar") and recipe.model.encoder.remove_blocks == ("x.1",)
    assert recipe.model.encoder.weights == Path("a/b.safetensors")
    options = recipe.model.encoder.timm_kwargs
    assert [(value, type(value)) for value in options.values()] == [(1, int), (2.5, float), ("same", str), (True, bool)]


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Recipe().train.epochs = 3


def test_short_forms_of_the_encoder() -> None:
    resnet = EncoderSettings(name="resnet18", pretrained=False)
    assert parse("model: {encoder: resnet18, encoder_pretrained: false}").model.encoder == resnet
    assert parse("model: {encoder: {name: resnet18}, encoder_pretrained: false}").model.encoder == resnet
    assert parse("model: {encoder_weights: w}").model.encoder == EncoderSettings(weights=Path("w"))
    assert ModelSettings(encoder=resnet).encoder == resnet


# --- files


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"train: {epochs: 3", "no valid YAML"),
        (b"a: b: c", "no valid YAML"),
        (b"\x00", "no valid YAML"),
        (b"a: " + b"[" * 100_000, "no valid YAML"),
        (b"\xff\xfe\xfa", "no valid YAML"),
        (b"description: 2020-13-45", "no valid YAML"),  # a date to YAML, whose parser raises a bare ValueError
        (b"!!python/object/apply:os.system ['true']", "no valid YAML"),
        (b"- train", "found list; expected a mapping of sections"),
        (b"", "found NoneType; expected a mapping of sections"),
    ],
)
def test_bad_yaml(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(content)
    with pytest.raises(BadConfig) as caught:
        read_recipe(path)
    assert str(caught.value).startswith(f"{path}: {problem}") and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_recipe_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadConfig, match="cannot be read"):
        read_recipe(tmp_path / name)


RECIPES = [
    Recipe(),
    Recipe(
        description="وصف\nin two lines: yes",
        model=ModelSettings(
            encoder=EncoderSettings(
                name="x", weights=Path("w"), remove_blocks=("a.1",), timm_kwargs={"a": True, "b": "1"}
            ),
            decoder=AttentionSettings(dropout=0.25),
        ),
        data="flickr:/photos of dogs",
    ),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=["defaults", "other"])
def test_dump_and_read_give_the_same_recipe(tmp_path: Path, recipe: Recipe) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    assert parse_recipe(read_recipe(path), str(path)) == recipe
    assert ("وصف" in path.read_text(encoding="utf-8")) == ("وصف" in recipe.description)  # readable, not escaped


def test_a_dumped_recipe_says_everything() -> None:
    def keys(section: dict[str, Any]) -> set[str]:
        return {key for key in section} | {
            k for value in section.values() if isinstance(value, dict) for k in keys(value)
        }

    assert {"seed", "heads", "interpolation", "min_frequency", "length_penalty", "timm_kwargs"} <= keys(
        yaml.safe_load(dump_recipe(Recipe()))
    )


# --- overrides


def test_overrides_are_read_as_yaml_and_leave_the_raw_recipe_alone() -> None:
    raw = {"train": {"epochs": 9, "views": 3}}
    changed = apply_overrides(
        raw, ["train.epochs=3", "train.lr=1e-3", "data=flickr:DIR", "text.languages=[en, ar]", "description="]
    )
    assert changed == {
        "train": {"epochs": 3, "views": 3, "lr": "1e-3"},
        "data": "flickr:DIR",
        "text": {"languages": ["en", "ar"]},
        "description": "",
    }
    assert raw == {"train": {"epochs": 9, "views": 3}}
    assert parse_recipe(changed, "").train.lr == 1e-3


def test_the_value_may_hold_the_sign_and_the_last_of_two_overrides_holds() -> None:
    assert apply_overrides({}, ["data=csv:a=b.csv"]) == {"data": "csv:a=b.csv"}
    assert apply_overrides({}, ["train.epochs=1", "train.epochs=2"]) == {"train": {"epochs": 2}}


TRANSFORMER = {"kind": "transformer", "width": 96, "heads": 4}


@pytest.mark.parametrize(
    ("decoder", "overrides", "expected"),
    [
        (TRANSFORMER, ["model.decoder.kind=attention"], AttentionSettings()),
        (TRANSFORMER, ["model.decoder.kind=transformer"], TransformerSettings(width=96, heads=4)),
        # Whatever the order: the kind comes first.
        (
            TRANSFORMER,
            ["model.decoder.attention_dim=64", "model.decoder.kind=attention"],
            AttentionSettings(attention_dim=64),
        ),
        ({}, ["model.decoder.kind=attention"], AttentionSettings()),
        # A kind that is not said is a kind all the same.
        ({"width": 96}, ["model.decoder.kind=attention"], AttentionSettings()),
        ({"width": 96}, ["model.decoder.kind=transformer"], TransformerSettings(width=96)),
        ({}, ["model.decoder.heads=4", "model.decoder.width=96"], TransformerSettings(width=96, heads=4)),
    ],
)
def test_a_new_kind_begins_its_section_anew(decoder: dict[str, Any], overrides: list[str], expected: object) -> None:
    assert parse_recipe(apply_overrides({"model": {"decoder": decoder}}, overrides), "").model.decoder == expected


def test_a_new_encoder_gives_the_decoder_the_same_kind_of_features() -> None:
    raw = {"model": {"encoder": {"name": "vgg16", "layer": "fc7", "pca": 512, "timm_kwargs": {"pad_type": "same"}}}}

    def encoder(*overrides: str) -> EncoderSettings:
        return parse_recipe(apply_overrides(raw, overrides), "").model.encoder

    assert encoder("model.encoder=resnet18") == EncoderSettings(name="resnet18", layer="fc7", pca=512)
    assert encoder("model.encoder.layer=pooled", "model.encoder=resnet18") == EncoderSettings(
        name="resnet18", layer="pooled", pca=512
    )


def test_a_new_encoder_begins_its_section_anew() -> None:
    raw = {"model": {"encoder": {"name": "b4", "remove_blocks": ["blocks.6.1"]}}}

    def encoder(*overrides: str) -> EncoderSettings:
        return parse_recipe(apply_overrides(raw, overrides), "").model.encoder

    assert encoder("model.encoder=resnet18") == EncoderSettings(name="resnet18")
    assert encoder("model.encoder.pretrained=false", "model.encoder=resnet18") == EncoderSettings(
        name="resnet18", pretrained=False
    )
    assert encoder("model.encoder_pretrained=false") == EncoderSettings(
        name="b4", remove_blocks=("blocks.6.1",), pretrained=False
    )
    assert encoder("model.encoder.pretrained=false") == EncoderSettings(
        name="b4", remove_blocks=("blocks.6.1",), pretrained=False
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs", "found 'epochs'; expected key=value, such as train.epochs=3"),
        ("=3", "found '=3'; expected key=value, such as train.epochs=3"),
        ("train.epochs.x=3", "train.epochs.x: 'epochs' is a value, not a section"),
        ("data.x=3", "data.x: 'data' is a value, not a section"),
        ("train.lr=[", "train.lr: '[' is no YAML value"),
        ("data=2020-13-45", "data: '2020-13-45' is no YAML value"),
    ],
)
def test_a_bad_override(override: str, message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        apply_overrides({"data": "x", "train": {"epochs": 3}}, [override])
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


# --- the nearest word


def test_nearest() -> None:
    assert nearest("epoch", ["epochs", "lr"]) == "; did you mean 'epochs'?"
    assert nearest("zzz", ["epochs", "lr"]) == "; expected one of: epochs, lr"
    assert len(nearest("zzz", [f"backbone{i}" for i in range(1000)])) < 300


@given(st.text(max_size=12), st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=5))
def test_nearest_names_only_what_is_known(word: str, known: list[str]) -> None:
    hint = nearest(word, known)
    assert any(repr(k) in hint or k in hint for k in known)


# --- renamed settings


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_key_is_refused_with_its_present_name(old: str, new: str) -> None:
    kind = ["model.decoder.kind=attention"] if new.startswith("model.decoder") else []
    with pytest.raises(BadConfig, match=rf"^own.yaml: {re.escape(old)} is now {re.escape(new)}"):
        parse_recipe(apply_overrides({}, [*kind, f"{old}=1"]), "own.yaml")


@pytest.mark.parametrize("new", RENAMED.values())
def test_a_present_name_is_a_setting(new: str) -> None:
    def fields(section: type[Settings], prefix: str) -> set[str]:
        keys = set()
        for name, field in section.model_fields.items():
            nested = [k for k in DECODER_KINDS.values()] if name == "decoder" else [field.annotation]
            for kind in nested:
                is_section = isinstance(kind, type) and issubclass(kind, Settings)
                keys |= fields(kind, f"{prefix}{name}.") if is_section else {prefix + name}
        return keys

    assert new.split()[0] in fields(Recipe, "")
