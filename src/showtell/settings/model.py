"""Settings of a captioning model: encoder and decoder."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from showtell.settings.base import Settings
from showtell.settings.decoder import DEFAULT_KIND, DecoderSettings, TransformerSettings
from showtell.settings.encoder import EncoderSettings


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
