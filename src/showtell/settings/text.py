"""Settings of the text: languages and vocabulary."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from showtell.languages import canonical_tag
from showtell.settings.base import Settings

# Norwegian, `no`, is the value false in YAML.
Language = Annotated[str, BeforeValidator(lambda tag: "no" if tag is False else tag), AfterValidator(canonical_tag)]
"""A BCP 47 tag in canonical form."""


class ImportedText(Settings):
    """How an imported model's own `tokenizer.json` is used."""

    bos_ids: tuple[int, ...] = Field(min_length=1, description="tokens that begin every caption, before the prompt")
    eos_id: int
    unk_id: int | None = None
    banned_ids: tuple[int, ...] = Field((), description="tokens that are never generated")
    takes_prompt: bool = Field(False, description="whether the model was made to continue a given beginning")
    prompt: str = Field("", description="the default beginning of every caption")


class TextSettings(Settings):
    languages: tuple[Language, ...] = Field(
        ("en",), min_length=1, description="BCP 47 tags, such as en, ar, pt-BR; the first is the default"
    )
    kind: Literal["words", "letters", "bpe", "imported"] = Field(
        "words",
        description="letters: spaCy's words, rare ones split into letters; bpe: byte-pair encoding; imported: the "
        "tokenizer of an imported model",
    )
    imported: ImportedText | None = Field(None, description="kind imported: taken from train.start_from")
    min_frequency: int = Field(3, ge=1, description="rarer words of train become <unk>, or letters")
    vocab_size: int | None = Field(None, ge=8, description="largest vocabulary; the most frequent words are kept")
    splits: Literal["train", "all"] = Field("train", description="splits whose captions the vocabulary is built from")
    max_length: int = Field(30, ge=1, description="tokens; longer training captions are truncated")

    @model_validator(mode="after")
    def _languages_differ(self) -> TextSettings:
        if twice := sorted({tag for tag in self.languages if self.languages.count(tag) > 1}):
            raise ValueError(f"found {', '.join(twice)} in languages more than once; expected each once")
        return self
