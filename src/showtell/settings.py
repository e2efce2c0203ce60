"""Every setting of a recipe, with its meaning and its one default.

A recipe is YAML with the sections `model`, `text`, `data`, `train` and `decode`; `config` reads it. A setting that a
recipe does not have takes its default from here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from showtell.languages import canonical_tag

# Norwegian, `no`, is the value false in YAML.
Language = Annotated[str, BeforeValidator(lambda tag: "no" if tag is False else tag), AfterValidator(canonical_tag)]
"""A BCP 47 tag in canonical form."""
Number = float | int | str | bool
Size = Annotated[int, Field(ge=16, le=2048)]
Triple = tuple[float, float, float]
CropMode = Literal["squash", "center"]
Interpolation = Literal["bilinear", "bicubic"]


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class PixelSettings(Settings):
    """How an RGB image becomes a tensor; the same in training, evaluation and serving, and part of the bundle."""

    size: Size = Field(224, description="height and width of the tensor, in pixels")
    crop_mode: CropMode = Field(
        "squash", description="squash: the whole photo, aspect ratio not kept; center: a square"
    )
    interpolation: Interpolation = "bicubic"
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)


class PixelOverrides(Settings):
    """The `PixelSettings` that a recipe sets; the others come from timm's configuration of the encoder."""

    size: Size | None = None
    crop_mode: CropMode | None = Field(
        None, description="default squash: timm's crops remove parts that captions describe"
    )
    interpolation: Interpolation | None = None
    mean: Triple | None = None
    std: Triple | None = None


PRECOMPUTED = "features"
"""The encoder's name when there is no encoder: training reads precomputed features."""


class EncoderSettings(Settings):
    """A timm backbone; image regions are the cells of its deepest feature map in timm's `feature_info`."""

    name: str = Field(
        "tf_efficientnet_b4", description="a timm model name; `features`: no encoder, features are precomputed"
    )
    weights: Path | None = Field(
        None, description="a .safetensors file with timm's parameter names; default: timm's own"
    )
    pretrained: bool = Field(True, description="false: random initialisation; only for tests and drawn data")
    layer: Literal["regions", "pooled", "fc7"] = Field(
        "regions", description="decoder input: feature map regions, their mean, or VGG's second fully connected layer"
    )
    pca: int | None = Field(
        None, ge=1, description="reduce features to this many principal components, fitted on train"
    )
    channels: int | None = Field(None, ge=1, description="width of precomputed features; only with the name `features`")
    remove_blocks: tuple[str, ...] = Field((), description="residual blocks to replace by the identity, by module name")
    timm_kwargs: dict[str, Number] = Field(
        {}, description="further arguments of timm.create_model, e.g. pad_type: same"
    )
    pixels: PixelOverrides = PixelOverrides()


Width = Annotated[int, Field(ge=8)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Cell = Literal["rnn", "lstm", "gru"]


class TransformerSettings(Settings):
    """Transformer decoder, with or without an encoder over the regions (Vaswani et al. 2017)."""

    has_position_embeddings: ClassVar[bool] = True
    kind: Literal["transformer"] = "transformer"
    width: Width = 384
    layers: int = Field(2, ge=1)
    encoder_layers: int = Field(0, ge=0, description="layers of self-attention over the image's regions")
    heads: int = Field(6, ge=1)
    ffn_dim: Width = 1536
    dropout: Rate = 0.1
    norm: Literal["pre", "post"] = Field("pre", description="pre: Xiong et al. 2020; post: Vaswani et al. 2017")
    activation: Literal["gelu", "relu"] = "gelu"
    position_embedding: Literal["learned", "sinusoidal"] = Field("learned", description="of tokens")
    region_position_embedding: Literal["learned", "sinusoidal", "none"] = "learned"
    input_norm: bool = Field(True, description="LayerNorm on the encoder's features")
    final_norm: bool = Field(True, description="LayerNorm after the last layer, of encoder and decoder")
    tie_weights: bool = Field(True, description="the token embedding is the output layer too (Press & Wolf 2017)")


class RecurrentSettings(Settings):
    """RNN, LSTM or GRU that receives the image once (Vinyals et al. 2015, Show and Tell; Karpathy & Fei-Fei 2015)."""

    has_position_embeddings: ClassVar[bool] = False
    kind: Literal["recurrent"] = "recurrent"
    cell: Cell = "lstm"
    image: Literal["first_input", "initial_state"] = Field("first_input", description="where the image vector goes")
    head: tuple[Width, ...] = Field((), description="widths of ReLU layers on the image vector")
    width: Width = 512
    layers: int = Field(1, ge=1)
    embedding_dim: Width = 512
    dropout: Rate = Field(0.0, description="in the head, between layers and before the output")
    embedding_dropout: Rate = 0.0
    biases: Literal[1, 2] = Field(2, description="of each cell: one, as in the equations, or two, as in torch")


class AttentionSettings(Settings):
    """RNN, LSTM or GRU that attends to the regions at every step (Xu et al. 2015, Show, Attend and Tell)."""

    has_position_embeddings: ClassVar[bool] = False
    kind: Literal["attention"] = "attention"
    cell: Cell = "lstm"
    width: Width = 512
    layers: int = Field(1, ge=1)
    embedding_dim: Width = 512
    attention_dim: Width = 512
    energy: Literal["relu", "tanh"] = Field("relu", description="relu(W_a a + W_h h), or tanh(W [a; h])")
    gate: bool = Field(True, description="a gate on the context (their section 4.2.1, beta)")
    initial_state: Literal["mean", "zeros"] = Field("mean", description="projected mean region, or zeros")
    dropout: Rate = Field(0.5, description="between layers and before the output")
    embedding_dropout: Rate = 0.0
    doubly_stochastic_weight: float = Field(1.0, ge=0, description="weight of Xu et al.'s regulariser (their lambda)")
    hard: bool = Field(False, description="attend to one sampled region per token, trained by REINFORCE (section 4.1)")
    reinforce_weight: float = Field(1.0, ge=0, description="hard: weight of the sampled regions' reward (lambda_r)")
    entropy_weight: float = Field(0.002, ge=0, description="hard: weight of the attention's entropy (lambda_e)")


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
"""The decoder's kind when a recipe does not set it."""


class ModelSettings(Settings):
    """`encoder: NAME` is short for `encoder: {name: NAME}`, and `encoder_weights: FILE` for its `weights`."""

    encoder: EncoderSettings = EncoderSettings()
    decoder: DecoderSettings = TransformerSettings()

    @model_validator(mode="before")
    @classmethod
    def _expand_shorthands(cls, raw: Any) -> Any:
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
    languages: tuple[Language, ...] = Field(
        ("en",), min_length=1, description="BCP 47 tags, such as en, ar, pt-BR; the first is the default"
    )
    kind: Literal["words", "letters", "bpe"] = Field(
        "words", description="letters: spaCy's words, rare ones split into letters; bpe: byte-pair encoding"
    )
    min_frequency: int = Field(3, ge=1, description="rarer words of train become <unk>, or letters")
    vocab_size: int | None = Field(None, ge=8, description="largest vocabulary; the most frequent words are kept")
    splits: Literal["train", "all"] = Field("train", description="splits whose captions the vocabulary is built from")
    max_length: int = Field(30, ge=1, description="tokens; longer training captions are truncated")

    @model_validator(mode="after")
    def _languages_differ(self) -> TextSettings:
        if twice := sorted({tag for tag in self.languages if self.languages.count(tag) > 1}):
            raise ValueError(f"found {', '.join(twice)} in languages more than once; expected each once")
        return self


class DistillationSettings(Settings):
    """Knowledge distillation from finished runs (Hinton et al. 2015); off without teachers."""

    teachers: tuple[Path, ...] = Field((), description="run folders; the target is the mean of their probabilities")
    weight: float = Field(0.5, ge=0, le=1, description="of the distillation loss; cross-entropy has the rest")


class SelfCriticalSettings(Settings):
    """Self-critical training: REINFORCE on sampled captions (Rennie et al. 2017); off without `start_epoch`."""

    start_epoch: int | None = Field(None, ge=0, description="cross-entropy alone before this epoch; null: always")
    weight: float = Field(0.5, gt=0, le=1, description="of the REINFORCE loss; cross-entropy has the rest")
    num_samples: int = Field(5, ge=2, description="captions sampled per image and language")


class TrainSettings(Settings):
    start_from: Path | None = Field(None, description="a finished run: its best weights and its tokenizer")
    epochs: int = Field(10, ge=1)
    batch_size: int = Field(64, ge=1, description="images per step; all captions of an image are used together")
    accumulate_grad_batches: int = Field(
        1, ge=1, description="batches per optimiser step; the cross-entropy gradient is that of one large batch"
    )
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = Field(4e-4, gt=0, description="peak learning rate of the decoder")
    encoder_lr: float = Field(5e-5, gt=0)
    layer_decay: float = Field(1.0, gt=0, le=1, description="factor on encoder_lr per stage below the last")
    trainable_encoder_stages: int = Field(0, ge=0, description="last stages to fine-tune; 0: frozen")
    unfreeze_encoder_at_epoch: int = Field(0, ge=0, description="frozen before this epoch")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(0.01, ge=0)
    warmup_ratio: float = Field(0.05, ge=0, lt=1, description="share of all steps with linear warm-up")
    schedule: Literal["cosine", "exponential", "plateau", "constant"] = "cosine"
    lr_factor: float = Field(0.5, gt=0, lt=1, description="factor on lr: exponential, per epoch; plateau, per plateau")
    plateau_patience: int = Field(1, ge=1, description="plateau: epochs without improvement before lr falls")
    plateau_start_epoch: int = Field(0, ge=0, description="plateau: first epoch in which lr may fall")
    monitor: Literal["CIDEr", "BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "top-5", "loss"] = Field(
        "CIDEr", description="dev score by which the best epoch is selected"
    )
    early_stopping_patience: int | None = Field(
        None, ge=1, description="stop after this many epochs without improvement"
    )
    teacher_forcing: float = Field(
        1.0, ge=0, le=1, description="probability of the reference token as input (scheduled sampling)"
    )
    teacher_forcing_end: float | None = Field(None, ge=0, le=1, description="the probability falls linearly to this")
    teacher_forcing_per: Literal["step", "batch"] = Field("step", description="draw for every token, or once per batch")
    label_smoothing: Rate = 0.1
    word_dropout: Rate = Field(0.0, description="share of input tokens that become <unk>")
    max_grad_norm: float | None = Field(1.0, gt=0, description="gradient clipping; null: none")
    ema_decay: Rate = Field(0.0, description="decay of the exponential moving average of the weights; 0: none")
    average_checkpoints: int = Field(
        1, ge=1, description="at the end, also validate the mean of the weights of this many best epochs"
    )
    distillation: DistillationSettings = DistillationSettings()
    self_critical: SelfCriticalSettings = SelfCriticalSettings()
    views: int = Field(1, ge=1, description="cached views of each training photo; the first is the photo itself")
    randaugment_num_ops: int = Field(0, ge=0, description="RandAugment operations per view; 0: off")
    randaugment_magnitude: float = Field(5.0, ge=0, le=10, description="RandAugment magnitude; 10 is the strongest")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    compile: bool = Field(False, description="torch.compile the decoder; minutes on a CPU, for long runs on a GPU")
    seed: int = 0
    max_images: int | None = Field(None, ge=1, description="train on the first images only")
    checkpoint_minutes: float = Field(5.0, gt=0)

    @model_validator(mode="after")
    def _randaugment_needs_views(self) -> TrainSettings:
        if self.randaugment_num_ops and self.views == 1:
            raise ValueError(
                f"randaugment_num_ops is {self.randaugment_num_ops}, but views 1 is the photo itself alone; raise views"
            )
        return self


class DecodeSettings(Settings):
    beam_size: int = Field(5, ge=1, le=64, description="1: greedy search")
    length_penalty: float = Field(
        0.7, ge=0, description="hypotheses rank by sum of log-probabilities / length ** length_penalty"
    )
    min_length: int = Field(1, ge=0, description="tokens")
    max_length: int = Field(30, ge=1, description="tokens")
    no_repeat_ngram_size: int = Field(
        3, ge=0, description="an n-gram of this size occurs once per caption; 0: no limit"
    )
    bad_endings: tuple[str, ...] = Field((), description="words that a caption may not end in")
    num_beam_groups: int = Field(1, ge=1, description="groups of diverse beam search; 1: plain beam search")
    diversity_penalty: float = Field(
        0.5, ge=0, allow_inf_nan=False, description="subtracted from a token's score per use by earlier groups"
    )

    @model_validator(mode="after")
    def _lengths_in_order(self) -> DecodeSettings:
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is above max_length {self.max_length}")
        return self

    @model_validator(mode="after")
    def _groups_of_equal_size(self) -> DecodeSettings:
        if self.beam_size % self.num_beam_groups:
            raise ValueError(f"beam_size {self.beam_size} is no multiple of num_beam_groups {self.num_beam_groups}")
        return self


class Recipe(Settings):
    """A complete, re-runnable description of a training run."""

    description: str = ""
    source: str = Field("", description="the system and the papers that the recipe follows")
    data_hint: str = Field("", description="the data that the recipe was made for, as data=...")
    model: ModelSettings = ModelSettings()
    text: TextSettings = TextSettings()
    data: str = Field("", description="a data spec, such as flickr:DIR; see `showtell data --help`")
    train: TrainSettings = TrainSettings()
    decode: DecodeSettings = DecodeSettings()


def max_positions(recipe: Recipe) -> int | None:
    """The tokens, start token excluded, that the decoder has position embeddings for; None: it needs none, and has no
    limit."""
    if not recipe.model.decoder.has_position_embeddings:
        return None
    return max(recipe.text.max_length, recipe.decode.max_length)
