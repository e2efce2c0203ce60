"""Request and response models of the API, as OpenAPI describes them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, FailFast, Field, Tag

from showtell.image_formats import expected_formats
from showtell.records import Caption

EXAMPLE_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAGUlEQVR42mNsaGhgIAUwMZAIRjWMahg6GgDJTAGg54KQ4AAAAABJRU5ErkJggg=="
)
"""A PNG of 16 x 16 grey pixels."""


def _integral(value: Any) -> Any:
    """To JSON, and to OpenAPI, 3.0 is an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


PositiveInt = Annotated[int, Field(ge=1), BeforeValidator(_integral)]


def _null_as(default: Any, type_of_json: Any) -> BeforeValidator:
    """Everywhere in a request null is as good as absent: many programs write every field that they know."""
    return BeforeValidator(
        lambda value: default if value is None else value, json_schema_input_type=type_of_json | None
    )


class Options(BaseModel):
    """Options of captioning; the same in JSON and as form fields. Null is the same as absent."""

    model_config = ConfigDict(extra="forbid")

    language: Annotated[str | None, Field(max_length=40, description="default: the model's first", examples=["en"])] = (
        None
    )
    beam: Annotated[
        PositiveInt | None, Field(description="width of the search; 1: greedy; default: the model's", examples=[5])
    ] = None
    num: Annotated[
        PositiveInt,
        Field(description="captions per image; the beam is as wide", examples=[2]),
        _null_as(1, PositiveInt),
    ] = 1
    max_length: Annotated[PositiveInt | None, Field(description="most words in a caption", examples=[20])] = None
    prompt: Annotated[
        str | None,
        Field(
            max_length=200,
            pattern=r"^[^\u0000-\u001f\u007f-\u009f]*$",
            description="how the caption begins; default: the model's own beginning, often none",
            examples=["a photo of"],
        ),
    ] = None
    attention: Annotated[
        bool, Field(description="for each word, where in the image the model looked"), _null_as(False, bool)
    ] = False


class Base64Image(BaseModel):
    model_config = ConfigDict(extra="forbid")
    base64: Annotated[
        str,
        Field(
            description="the bytes of an image file; with line breaks or without, padded or not, with + and / or with "
            "- and _; a data: URL will do",
            examples=[EXAMPLE_PNG],
        ),
    ]
    url: None = None


class UrlImage(BaseModel):
    """Where the server allows it."""

    model_config = ConfigDict(extra="forbid")
    url: Annotated[str, Field(max_length=2048, description="http or https")]
    base64: None = None


def _image_tag(image: Any) -> str:
    """The model of an image; without it, a mistake in one is reported as a mistake in both."""
    is_url = isinstance(image, dict) and image.get("url") is not None and image.get("base64") is None
    return "UrlImage" if is_url else "Base64Image"


Image = Annotated[
    Annotated[Base64Image, Tag("Base64Image")] | Annotated[UrlImage, Tag("UrlImage")], Discriminator(_image_tag)
]


class CaptionRequest(Options):
    images: Annotated[list[Image], Field(min_length=1), FailFast()]


class WordOut(BaseModel):
    text: Annotated[str, Field(examples=["dog"])]
    log_probability: Annotated[
        float, Field(description="natural logarithm, given the image and the words before", examples=[-0.0642])
    ]


class CaptionOut(BaseModel):
    text: Annotated[
        str,
        Field(description="begins with the prompt", examples=["a black and brown dog is running through the grass"]),
    ]
    language: Annotated[str, Field(examples=["en"])]
    score: Annotated[float, Field(description="mean log-probability per word, the end counted", examples=[-0.6531])]
    confidence: Annotated[
        float, Field(description="how likely the caption is right, where the model is calibrated", examples=[0.5865])
    ]
    words: Annotated[list[WordOut], Field(description="those that the model wrote, without the prompt")]
    attention: Annotated[
        list[list[list[float]]] | None,
        Field(description="[words, rows, columns]: weights over the grid of image regions, each word's sum is 1"),
    ] = None

    @classmethod
    def from_caption(cls, caption: Caption) -> CaptionOut:
        return cls(
            text=caption.text,
            language=caption.language,
            score=round(caption.score, 6),
            confidence=round(caption.confidence, 6),
            words=[WordOut(text=word.text, log_probability=round(word.log_probability, 6)) for word in caption.words],
            attention=None if caption.attention is None else caption.attention.round(6).tolist(),
        )


class ErrorOut(BaseModel):
    code: Annotated[str, Field(description="stable; see docs/serving.md", examples=["unsupported"])]
    message: Annotated[str, Field(examples=[f"found PDF; {expected_formats()}"])]


class ErrorBody(BaseModel):
    error: ErrorOut


class ImageResult(BaseModel):
    """One image: captions, best first, or an error."""

    captions: list[CaptionOut] | None = None
    error: ErrorOut | None = None


class CaptionResponse(BaseModel):
    model: Annotated[str, Field(description="see /v1/models", examples=["default-762333080a60"])]
    results: Annotated[list[ImageResult], Field(description="one for each image, in order")]


class ModelOut(BaseModel):
    id: Annotated[str, Field(description="changes with the model's files")]
    languages: list[str]
    calibrated: Annotated[list[str], Field(description="languages in which `confidence` is a probability")]
    grid: Annotated[tuple[int, int], Field(description="rows and columns of image regions")]
    max_length: Annotated[int | None, Field(description="words of the longest caption that it can write")]
    takes_prompt: Annotated[bool, Field(description="whether a request may have a `prompt`")]
    decode: Annotated[dict[str, Any], Field(description="decode settings where a request does not say")]


class ModelsOut(BaseModel):
    models: list[ModelOut]


class Health(BaseModel):
    status: str
