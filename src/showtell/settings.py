"""Every setting of a recipe, with its meaning and its one default.

A recipe is YAML with the sections `model`, `text`, `data`, `train` and `decode`; `config` reads it. What it does not
say has the default that stands here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Language = Literal["en", "ar"]
Number = float | int | str | bool
Size = Annotated[int, Field(ge=16, le=2048)]
Triple = tuple[float, float, float]
Crop = Literal["squash", "center"]
Interpolation = Literal["bilinear", "bicubic"]


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class PixelSettings(Settings):
    """How an RGB image becomes a tensor; the same in training, evaluation and serving, and part of the bundle."""

    size: Size = Field(224, description="height and width of the tensor, in pixels")
    crop: Crop = Field("squash", description="squash: the whole photo, aspect ratio given up")
    interpolation: Interpolation = "bicubic"
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)


class PixelChoices(Settings):
    """What a recipe says of `PixelSettings`; the rest comes from timm's own configuration of the encoder."""

    size: Size | None = None
    crop: Crop | None = Field(None, description="without it squash: timm's crops cut off what captions speak of")
    interpolation: Interpolation | None = None
    mean: Triple | None = None
    std: Triple | None = None


GIVEN = "features"
"""The encoder's name when there is none: training has features that somebody else made."""


class EncoderSettings(Settings):
    """A timm backbone; its regions are the deepest feature map that timm names for it."""

    name: str = Field("tf_efficientnet_b4", description="a timm model name; `features`: none, features are given")
    weights: Path | None = Field(None, description="a .safetensors file in timm's names; without it timm's own weights")
    random: bool = Field(False, description="start from random weights; only for tests and drawn data")
    layer: Literal["regions", "vector", "fc7"] = Field(
        "regions", description="what the decoder sees: the regions, their mean, or VGG's second fully connected layer"
    )
    pca: int | None = Field(None, ge=1, description="reduce features to so many principal components of training's")
    channels: int | None = Field(None, ge=1, description="of given features; only with the name `features`")
    without: tuple[str, ...] = Field((), description="residual blocks to leave out, by timm's module name")
    options: dict[str, Number] = Field({}, description="further arguments of timm.create_model, e.g. pad_type: same")
    pixels: PixelChoices = PixelChoices()


Width = Annotated[int, Field(ge=8)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Cell = Literal["rnn", "lstm", "gru"]


class TransformerSettings(Settings):
    """Transformer decoder, with or without an encoder over the regions (Vaswani et al. 2017)."""

    kind: Literal["transformer"] = "transformer"
    width: Width = 384
    layers: int = Field(2, ge=1)
    encoder_layers: int = Field(0, ge=0, description="layers of self-attention over the image's regions")
    heads: int = Field(6, ge=1)
    feed_forward: Width = 1536
    dropout: Rate = 0.1
    norm: Literal["pre", "post"] = Field("pre", description="pre: Xiong et al. 2020; post: Vaswani et al. 2017")
    activation: Literal["gelu", "relu"] = "gelu"
    positions: Literal["learned", "sinusoidal"] = Field("learned", description="of words")
    region_positions: Literal["learned", "sinusoidal", "none"] = "learned"
    input_norm: bool = Field(True, description="a norm on the encoder's features")
    final_norm: bool = Field(True, description="a norm behind the last layer, of regions and of words")
    tied: bool = Field(True, description="the embedding is the output layer as well (Press & Wolf 2017)")


class RecurrentSettings(Settings):
    """RNN, LSTM or GRU that sees the image once (Vinyals et al. 2015, Show and Tell; Karpathy & Fei-Fei 2015)."""

    kind: Literal["recurrent"] = "recurrent"
    cell: Cell = "lstm"
    image: Literal["first_input", "initial_state"] = Field("first_input", description="what the image's vector is")
    head: tuple[Width, ...] = Field((), description="widths of ReLU layers between the image's vector and its use")
    width: Width = 512
    layers: int = Field(1, ge=1)
    embedding: Width = 512
    dropout: Rate = Field(0.0, description="of the head, between layers and before the output")
    embedding_dropout: Rate = 0.0
    biases: Literal[1, 2] = Field(2, description="of each cell: one, as in the equations, or two, as in torch")


class AttentionSettings(Settings):
    """RNN, LSTM or GRU that looks at the regions for every word (Xu et al. 2015, Show, Attend and Tell)."""

    kind: Literal["attention"] = "attention"
    cell: Cell = "lstm"
    width: Width = 512
    layers: int = Field(1, ge=1)
    embedding: Width = 512
    attention: Width = 512
    energy: Literal["relu", "tanh"] = Field("relu", description="relu(W_a a + W_h h), or tanh(W [a; h])")
    gate: bool = Field(True, description="a gate on the context (their section 4.2.1, beta)")
    initial: Literal["mean", "zeros"] = Field("mean", description="the first state: from the mean region, or zeros")
    dropout: Rate = Field(0.5, description="between layers and before the output")
    embedding_dropout: Rate = 0.0
    doubly_stochastic: float = Field(1.0, ge=0, description="weight of Xu et al.'s regulariser (their lambda)")
    hard: bool = Field(False, description="look at one sampled region per word, learned by REINFORCE (section 4.1)")
    reinforce: float = Field(1.0, ge=0, description="hard: weight of the sampled regions' reward (lambda_r)")
    entropy: float = Field(0.002, ge=0, description="hard: weight of the attention's entropy (lambda_e)")


DecoderSettings = Annotated[
    TransformerSettings | RecurrentSettings | AttentionSettings,
    Field(discriminator="kind"),
]
DECODER_KINDS: dict[str, type[Settings]] = {
    "transformer": TransformerSettings,
    "recurrent": RecurrentSettings,
    "attention": AttentionSettings,
}
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
    kind: Literal["words", "letters", "bpe"] = Field(
        "words", description="letters: words as spaCy splits them, rare ones spelt; bpe: byte-pair encoding"
    )
    min_frequency: int = Field(3, ge=1, description="a word seen less often in training is unknown, or spelt")
    size: int | None = Field(None, ge=8, description="of the vocabulary, at most; the most frequent words")
    splits: Literal["train", "all"] = Field("train", description="whose captions the vocabulary is made from")
    max_words: int = Field(30, ge=1, description="longer training captions are cut off; letters and pieces count")


class DistillationSettings(Settings):
    """Learning from finished runs (Hinton et al. 2015); off without teachers."""

    teachers: tuple[Path, ...] = Field((), description="run folders; their mean probabilities are what is learned")
    weight: float = Field(0.5, ge=0, le=1, description="of the teachers' words; the rest is the true words'")


class SelfCriticalSettings(Settings):
    """Learning from the scores of sampled captions (Rennie et al. 2017); off without `from_epoch`."""

    from_epoch: int | None = Field(None, ge=0, description="cross-entropy alone before this epoch; null: always")
    weight: float = Field(0.5, gt=0, le=1, description="of the reward; the rest is cross-entropy's")
    samples: int = Field(5, ge=2, description="captions sampled per image and language")


class TrainSettings(Settings):
    start_from: Path | None = Field(None, description="a finished run, whose best weights and words to begin with")
    epochs: int = Field(10, ge=1)
    batch_size: int = Field(64, ge=1, description="images per step; all captions of an image are used together")
    accumulate: int = Field(
        1, ge=1, description="batches whose gradients are added up to one step; cross-entropy's are those of one batch"
    )
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = Field(4e-4, gt=0, description="of everything but the encoder")
    encoder_lr: float = Field(5e-5, gt=0)
    encoder_decay: float = Field(
        1.0, gt=0, le=1, description="factor on encoder_lr for each trained stage before the last"
    )
    encoder_stages: int = Field(0, ge=0, description="how many of the encoder's last stages are trained; 0: frozen")
    encoder_from_epoch: int = Field(0, ge=0, description="keep the encoder frozen before this epoch")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(0.01, ge=0)
    warmup: float = Field(0.05, ge=0, lt=1, description="share of all steps")
    schedule: Literal["cosine", "exponential", "plateau", "constant"] = "cosine"
    decay: float = Field(0.5, gt=0, lt=1, description="factor on lr: exponential, per epoch; plateau, each time")
    patience: int = Field(1, ge=1, description="plateau: epochs without gain before lr falls")
    plateau_from: int = Field(0, ge=0, description="plateau: epochs at first in which lr stays")
    monitor: Literal["CIDEr", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "top-5", "loss"] = Field(
        "CIDEr", description="the figure on dev that says which epoch is best"
    )
    stop_after: int | None = Field(None, ge=1, description="stop after so many epochs without gain")
    teacher_forcing: float = Field(1.0, ge=0, le=1, description="chance to read the true word and not its own")
    teacher_forcing_end: float | None = Field(None, ge=0, le=1, description="the chance falls linearly to this")
    teacher_forcing_per: Literal["step", "batch"] = Field("step", description="draw anew for every word, or once")
    label_smoothing: Rate = 0.1
    word_dropout: Rate = Field(0.0, description="share of the decoder's input words that become <unk>")
    clip: float | None = Field(1.0, gt=0, description="largest norm of the gradient; null: any")
    average: Rate = Field(0.0, description="decay of the moving average of the weights; 0: none")
    average_epochs: int = Field(
        1, ge=1, description="in the end, also try the mean of the weights of the best so many epochs"
    )
    distillation: DistillationSettings = DistillationSettings()
    self_critical: SelfCriticalSettings = SelfCriticalSettings()
    views: int = Field(1, ge=1, description="cached augmentations of each training photo, the photo itself included")
    rand_augment: int = Field(0, ge=0, description="RandAugment operations on every view but the photo itself; 0: off")
    rand_magnitude: float = Field(5.0, ge=0, le=10, description="how strong each of them is; 10 is the most")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    compile: bool = Field(False, description="torch.compile the decoder; minutes on a CPU, for long runs on a GPU")
    seed: int = 0
    max_images: int | None = Field(None, ge=1, description="train on the first so many images only")
    checkpoint_minutes: float = Field(5.0, gt=0)

    @model_validator(mode="after")
    def _there_are_views_to_augment(self) -> TrainSettings:
        if self.rand_augment and self.views == 1:
            raise ValueError(f"rand_augment is {self.rand_augment}, but views 1 is the photo itself alone; raise views")
        return self


class DecodeSettings(Settings):
    beam: int = Field(5, ge=1, le=64)
    length_exponent: float = Field(
        0.7, ge=0, description="hypotheses rank by sum of log-probabilities / length ** this"
    )
    min_length: int = Field(1, ge=0, description="words")
    max_length: int = Field(30, ge=1, description="words; letters and pieces count")
    no_repeat_ngram: int = Field(3, ge=0, description="an n-gram of this length occurs once per caption; 0: no limit")
    bad_endings: tuple[str, ...] = Field((), description="words that a caption may not end in")
    groups: int = Field(1, ge=1, description="groups of the beam that are to say different things; 1: none are")
    diversity: float = Field(
        0.5, ge=0, allow_inf_nan=False, description="how much lower a group ranks a word for each use by earlier groups"
    )

    @model_validator(mode="after")
    def _some_length_is_left(self) -> DecodeSettings:
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}")
        return self

    @model_validator(mode="after")
    def _groups_are_equally_wide(self) -> DecodeSettings:
        if self.beam % self.groups:
            raise ValueError(f"beam {self.beam} is not a multiple of groups {self.groups}")
        return self


class Recipe(Settings):
    """A complete, re-runnable description of a training run."""

    description: str = ""
    source: str = Field("", description="the system and the papers that the recipe follows")
    data_hint: str = Field("", description="what the recipe was made for, as data=...")
    model: ModelSettings = ModelSettings()
    text: TextSettings = TextSettings()
    data: str = Field("", description="a data spec, such as flickr:DIR; see `showtell data --help`")
    train: TrainSettings = TrainSettings()
    decode: DecodeSettings = DecodeSettings()


def longest(recipe: Recipe) -> int:
    """Words that the model must have positions for."""
    return max(recipe.text.max_words, recipe.decode.max_length)
