"""Settings of training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from showtell.settings.base import Rate, Settings


def _language_and_file(spec: str) -> str:
    language, equals, file = spec.partition("=")
    if not (language and equals and file):
        raise ValueError(f"found {spec!r}; expected LANGUAGE=FILE, such as en=sentences.txt")
    return spec


SentenceFile = Annotated[str, AfterValidator(_language_and_file)]


class DistillationSettings(Settings):
    """Knowledge distillation from finished runs (Hinton et al. 2015); off without teachers."""

    teachers: tuple[Path, ...] = Field((), description="run folders; the target is the mean of their probabilities")
    weight: float = Field(0.5, ge=0, le=1, description="of the distillation loss; cross-entropy has the rest")


class SelfCriticalSettings(Settings):
    """Self-critical training: REINFORCE on sampled captions (Rennie et al. 2017); off without `start_epoch`."""

    start_epoch: int | None = Field(None, ge=0, description="cross-entropy alone before this epoch; null: always")
    weight: float = Field(0.5, gt=0, le=1, description="of the REINFORCE loss; cross-entropy has the rest")
    num_samples: int = Field(5, ge=2, description="captions sampled per image and language")


class TextOnlySettings(Settings):
    """Batches of sentences without photos between those of photos; off without files."""

    files: tuple[SentenceFile, ...] = Field(
        (), description="LANGUAGE=FILE: a sentence per line, or NAME#i<TAB>sentence for several of one image; .gz too"
    )
    ratio: float = Field(1.0, gt=0, description="batches of sentences per batch of photos in the first epoch")
    epochs: int = Field(8, ge=1, description="the ratio falls linearly, and is 0 from this epoch on")
    min_frequency: int | None = Field(
        None,
        ge=1,
        description="words this frequent in captions and sentences together are in the vocabulary as well; null: only "
        "words of captions are",
    )


class TrainSettings(Settings):
    start_from: Path | None = Field(
        None, description="a finished run, or a bundle that has model.safetensors: its weights and its tokenizer"
    )
    lora_rank: int = Field(
        0,
        ge=0,
        description="rank of adapters that are trained instead of the decoder's linear layers; 0: off",
    )
    lora_alpha: float = Field(16.0, gt=0, description="adapters are scaled by lora_alpha / lora_rank (Hu et al. 2022)")
    devices: int = Field(
        1, ge=1, description="processes of this machine, each on a GPU of its own or on its part of the cores"
    )
    epochs: int = Field(10, ge=1)
    batch_size: int = Field(
        64, ge=1, description="images per step, of all processes together; the captions of an image are used together"
    )
    captions_per_language: int | None = Field(
        None, ge=1, description="captions of an image that a step uses, drawn anew in every epoch; null: all"
    )
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
    text: TextOnlySettings = TextOnlySettings()
    views: int = Field(1, ge=1, description="views of each training photo; the first is the photo itself")
    cache_features: bool = Field(
        True,
        description="compute the features of frozen stages once and keep them on disk; false: read and encode photos "
        "anew in every epoch, and keep nothing",
    )
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
