"""Every setting of a recipe, with its meaning and its one default, and the reading of recipes.

A recipe is YAML with the sections `model`, `text`, `data`, `train` and `decode`. What it does not say has the default
that stands here. `section.key=value` overrides it from the command line; an unknown key is refused and the nearest one
named. All problems of a recipe are reported together.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from showtell.errors import BadConfig

Language = Literal["en", "ar"]
Number = float | int | str | bool


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class PixelSettings(Settings):
    """How an RGB image becomes a tensor; the same in training, evaluation and serving, and part of the bundle."""

    size: int = Field(224, ge=16, le=2048, description="height and width of the tensor, in pixels")
    crop: Literal["squash", "center"] = Field("squash", description="squash: the whole photo, aspect ratio given up")
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


class EncoderSettings(Settings):
    """A timm backbone; its regions are the deepest feature map that timm names for it."""

    name: str = Field("tf_efficientnet_b4", description="a timm model name")
    weights: Path | None = Field(None, description="a .safetensors file in timm's names; without it timm's own weights")
    random: bool = Field(False, description="start from random weights; only for tests and drawn data")
    without: tuple[str, ...] = Field((), description="residual blocks to leave out, by timm's module name")
    options: dict[str, Number] = Field({}, description="further arguments of timm.create_model, e.g. pad_type: same")
    pixels: PixelSettings = PixelSettings()


class TransformerSettings(Settings):
    """Pre-norm Transformer decoder (Vaswani et al. 2017; pre-norm: Xiong et al. 2020)."""

    kind: Literal["transformer"] = "transformer"
    width: int = Field(384, ge=8)
    layers: int = Field(2, ge=1)
    heads: int = Field(6, ge=1)
    feed_forward: int = Field(1536, ge=8)
    dropout: float = Field(0.1, ge=0, lt=1)


class AttentionLSTMSettings(Settings):
    """LSTM with soft attention and gate (Xu et al. 2015, Show, Attend and Tell)."""

    kind: Literal["attention_lstm"] = "attention_lstm"
    width: int = Field(512, ge=8, description="the LSTM's cell")
    embedding: int = Field(512, ge=8)
    attention: int = Field(512, ge=8)
    dropout: float = Field(0.5, ge=0, lt=1)
    doubly_stochastic: float = Field(1.0, ge=0, description="weight of Xu et al.'s regulariser (their lambda)")


DecoderSettings = Annotated[TransformerSettings | AttentionLSTMSettings, Field(discriminator="kind")]


DEFAULT_KIND = "transformer"
"""Of a decoder whose `kind` is not said."""


class ModelSettings(Settings):
    """`encoder: NAME` is short for `encoder: {name: NAME}`, and `encoder_weights: FILE` for its `weights`."""

    encoder: EncoderSettings = EncoderSettings()
    decoder: DecoderSettings = TransformerSettings()

    @model_validator(mode="before")
    @classmethod
    def _spelled_out(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        if isinstance(raw.get("decoder"), dict):
            raw = {**raw, "decoder": {"kind": DEFAULT_KIND, **raw["decoder"]}}
        encoder = raw.get("encoder", {})
        encoder = {"name": encoder} if isinstance(encoder, str) else encoder
        rest = {key: value for key, value in raw.items() if key != "encoder" and not str(key).startswith("encoder_")}
        if not isinstance(encoder, dict):
            return raw
        short = {key.removeprefix("encoder_"): value for key, value in raw.items() if str(key).startswith("encoder_")}
        return {**rest, "encoder": {**encoder, **short}}


class TextSettings(Settings):
    languages: tuple[Language, ...] = Field(("en",), min_length=1)
    min_frequency: int = Field(3, ge=1, description="a word seen less often in training becomes <unk>")
    max_words: int = Field(30, ge=1, description="longer training captions are cut off")


class TrainSettings(Settings):
    epochs: int = Field(10, ge=1)
    batch_size: int = Field(64, ge=1, description="images per step; all captions of an image are used together")
    lr: float = Field(4e-4, gt=0, description="of everything but the encoder")
    encoder_lr: float = Field(5e-5, gt=0)
    encoder_stages: int = Field(0, ge=0, description="how many of the encoder's last stages are trained; 0: frozen")
    encoder_from_epoch: int = Field(0, ge=0, description="keep the encoder frozen before this epoch")
    warmup: float = Field(0.05, ge=0, lt=1, description="share of all steps")
    weight_decay: float = Field(0.01, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    word_dropout: float = Field(0.0, ge=0, lt=1, description="share of the decoder's input words that become <unk>")
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    average: float = Field(0.0, ge=0, lt=1, description="decay of the moving average of the weights; 0: none")
    views: int = Field(1, ge=1, description="cached augmentations of each training photo, the photo itself included")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    seed: int = 0
    max_images: int | None = Field(None, ge=1, description="train on the first so many images only")
    checkpoint_minutes: float = Field(5.0, gt=0)


class DecodeSettings(Settings):
    beam: int = Field(5, ge=1, le=64)
    length_exponent: float = Field(
        0.7, ge=0, description="hypotheses rank by sum of log-probabilities / length ** this"
    )
    min_length: int = Field(1, ge=0, description="words")
    max_length: int = Field(30, ge=1, description="words")
    no_repeat_ngram: int = Field(3, ge=0, description="an n-gram of this length occurs once per caption; 0: no limit")
    bad_endings: tuple[str, ...] = Field((), description="words that a caption may not end in")

    @model_validator(mode="after")
    def _some_length_is_left(self) -> DecodeSettings:
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}")
        return self


class Recipe(Settings):
    """A complete, re-runnable description of a training run."""

    description: str = ""
    model: ModelSettings = ModelSettings()
    text: TextSettings = TextSettings()
    data: str = Field("", description="a data spec, such as flickr:DIR; see `showtell data --help`")
    train: TrainSettings = TrainSettings()
    decode: DecodeSettings = DecodeSettings()


def parse_recipe(raw: object, origin: str) -> Recipe:
    """Raises BadConfig with every problem in one line; `origin` says where `raw` came from."""
    if not isinstance(raw, dict):
        raise BadConfig(
            f"{origin}: found {type(raw).__name__}; expected sections such as model, text, data, train, decode"
        )
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise BadConfig(f"{origin}: " + "; ".join(_problem(e, raw) for e in error.errors())) from error


def read_recipe(path: Path) -> dict[str, Any]:
    """The raw sections of a YAML recipe. Raises BadConfig when there is no such file or it is no YAML mapping."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfig(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: bytes that are no UTF-8, and dates such as 2020-13-45
        raise BadConfig(f"{path}: no valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(raw, dict):
        raise BadConfig(f"{path}: found {type(raw).__name__}; expected a mapping of sections")
    return raw


def apply_overrides(raw: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """A copy of `raw` with `section.key=value` settings applied; values are read as YAML.

    A new `kind` begins its section anew: the settings of an LSTM mean nothing to the Transformer that replaces it. So
    does a new encoder, `model.encoder=NAME`. Sections are therefore set before what is in them, whatever the order
    given.
    """
    changed = copy.deepcopy(raw)
    for override in sorted(
        overrides, key=lambda o: (o.split("=")[0].count("."), not o.split("=")[0].endswith(".kind"))
    ):
        key, sign, text = override.partition("=")
        if not sign or not key:
            raise BadConfig(f"found {override!r}; expected key=value, such as train.epochs=3")
        try:
            value = yaml.safe_load(text) if text else ""
        except (yaml.YAMLError, ValueError) as error:
            raise BadConfig(f"{key}: {text!r} is no YAML value ({' '.join(str(error).split())})") from error
        *sections, name = key.split(".")
        place = changed
        for section in sections:
            if isinstance(place.get(section), str) and section == "encoder":
                place[section] = {"name": place[section]}
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise BadConfig(f"{key}: {section!r} is a value, not a section")
        if name == "kind" and place.get("kind", DEFAULT_KIND) != value:
            place.clear()
        place[name] = value
    return changed


def dump_recipe(recipe: Recipe) -> str:
    """YAML that `read_recipe` reads back to the same recipe, every default written out."""
    text: str = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text


READABLE = 30
"""Names that may stand in one message: timm has over a thousand backbones."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"`, or what there is, when nothing is near and it can be read in one go."""
    options = sorted(known)
    near = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; expected one of: {', '.join(options)}" if len(options) <= READABLE else ""


def _problem(error: Any, raw: dict[str, Any]) -> str:
    location: Sequence[str | int] = error["loc"]
    # A discriminated union puts the kind into the location; the user did not write it as a key.
    path = [str(part) for part in location if part not in ("transformer", "attention_lstm")]
    where = ".".join(path)
    if error["type"] == "extra_forbidden":
        return f"{where} is no setting" + nearest(path[-1], _fields(location[:-1]))
    return f"{where}: {error['msg']}, found {error['input']!r}" if error["type"] != "missing" else f"{where} is missing"


def _fields(location: Sequence[str | int]) -> Iterable[str]:
    """The names that are allowed at a place in a recipe."""
    kinds: dict[str, type[Settings]] = {"transformer": TransformerSettings, "attention_lstm": AttentionLSTMSettings}
    section: type[Settings] = Recipe
    for part in location:
        field = kinds.get(str(part)) or (
            section.model_fields[str(part)].annotation if part in section.model_fields else None
        )
        if isinstance(field, type) and issubclass(field, Settings):
            section = field
    return section.model_fields
