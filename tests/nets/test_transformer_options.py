"""Every option of both Transformer decoders against plain equations, token by token, and as an ONNX graph."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from tests.plain_transformer import PlainTransformer
from torch import Tensor, nn
from torch.export import Dim

from showtell.errors import BadConfig
from showtell.nets.captioning_model import build_decoder
from showtell.nets.decoder import Decoder, Sizes
from showtell.settings import DecoderSettings, PrefixTransformerSettings, TransformerSettings

SIZES = {"width": 16, "heads": 4, "ffn_dim": 24, "dropout": 0.25}
WIDE = {"norm_eps": 0.05, "region_position_embedding": "none", "input_norm": False}
FORMS: dict[str, DecoderSettings] = {
    "as BERT's": TransformerSettings(
        **SIZES,
        **WIDE,
        norm="post",
        region_projection=False,
        encoder_norm=False,
        final_norm=False,
        embedding_norm=True,
        output_transform=True,
    ),
    "as GPT-2's": TransformerSettings(
        **SIZES, **WIDE, activation="gelu_tanh", encoder_norm=False, max_positions=12, output_bias=False
    ),
    "as TrOCR's": TransformerSettings(
        **SIZES,
        **WIDE,
        norm="post",
        activation="relu",
        encoder_norm=True,
        final_norm=False,
        scale_embedding=True,
        embedding_norm=True,
        tie_weights=False,
        output_bias=False,
    ),
    "unscaled sinusoids": TransformerSettings(
        **SIZES,
        activation="silu",
        encoder_layers=1,
        norm_eps=0.05,
        position_embedding="sinusoidal",
        scale_embedding=False,
        projection_norm=True,
        output_transform=True,
        tie_weights=False,
    ),
    "norm, no projection": TransformerSettings(**SIZES, activation="quick_gelu", layers=1, region_projection=False),
    "as GIT's": PrefixTransformerSettings(
        **SIZES,
        **WIDE,
        norm="post",
        layers=3,
        projection_norm=True,
        projection_norm_eps=0.5,
        final_norm=False,
        embedding_norm=True,
        tie_weights=False,
    ),
    "prefix, pre-norm": PrefixTransformerSettings(
        **SIZES, norm_eps=0.05, activation="quick_gelu", position_embedding="sinusoidal", output_transform=True
    ),
}
CHANNELS, REGIONS, VOCABULARY, LONGEST = 6, 5, 11, 7


def build(settings: DecoderSettings) -> Decoder:
    decoder = build_decoder(settings, Sizes(CHANNELS, REGIONS, VOCABULARY, LONGEST)).double().eval()
    torch.manual_seed(0)
    for parameter in decoder.parameters():
        nn.init.normal_(parameter, std=0.4)
    for norm in (part for part in decoder.modules() if isinstance(part, nn.LayerNorm)):
        norm.weight.data.add_(1)
    return decoder.requires_grad_(False)


@pytest.fixture(params=FORMS)
def settings(request: pytest.FixtureRequest) -> DecoderSettings:
    return FORMS[request.param]


@pytest.fixture
def decoder(settings: DecoderSettings) -> Decoder:
    return build(settings)


@pytest.fixture
def regions() -> Tensor:
    return torch.randn(2, REGIONS, CHANNELS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(VOCABULARY, (2, 3, LONGEST), generator=torch.Generator().manual_seed(2))


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


def test_forward_and_its_attention_are_the_equations(
    decoder: Decoder, settings: DecoderSettings, regions: Tensor, tokens: Tensor
) -> None:
    taught = decoder(tokens, decoder.encode_memory(regions))
    logits = decoder.logits(taught.hidden)
    assert logits.std() > 0.5
    plain = PlainTransformer(decoder, settings)
    for image in range(2):
        for caption in range(3):
            expected, weights = plain.logits(regions[image], tokens[image, caption])
            close(logits[image, caption], expected)
            close(taught.attention[image, caption], weights)


def test_steps_are_the_equations(decoder: Decoder, settings: DecoderSettings, regions: Tensor, tokens: Tensor) -> None:
    memory = decoder.encode_memory(regions)
    state = {name: rows.expand(-1, 3, *rows.shape[2:]) for name, rows in decoder.init_state(memory).items()}
    steps = []
    for t in range(LONGEST):
        logits, state, attention = decoder.step(tokens[:, :, t], memory, state)
        steps.append((logits[1, 2], attention[1, 2]))
    for found, expected in zip(
        zip(*steps, strict=True), PlainTransformer(decoder, settings).logits(regions[1], tokens[1, 2]), strict=True
    ):
        close(torch.stack(found), expected)


def test_every_parameter_has_a_gradient(settings: DecoderSettings, regions: Tensor, tokens: Tensor) -> None:
    decoder = build(settings).requires_grad_(True)
    decoder.logits(decoder(tokens, decoder.encode_memory(regions)).hidden).square().sum().backward()
    for name, parameter in decoder.named_parameters():
        # A key's bias shifts all scores of a query alike: its true gradient is 0.
        assert name.endswith("key.bias") or parameter.grad.abs().max() > 1e-6, name


class Steps(nn.Module):
    """A step of every form at once, for one graph in place of many."""

    def __init__(self, decoders: list[Decoder]) -> None:
        super().__init__()
        self.decoders = nn.ModuleList(decoders)

    def forward(self, tokens: Tensor, regions: Tensor, past: list[Tensor]) -> tuple[Tensor, ...]:
        outputs: list[Tensor] = []
        for n, decoder in enumerate(self.decoders):
            state = {"past_keys.0": past[2 * n], "past_values.0": past[2 * n + 1]}
            logits, state, attention = decoder.step(tokens, decoder.encode_memory(regions), state)
            outputs += [logits, attention, state["past_keys.0"], state["past_values.0"]]
        return tuple(outputs)


def example(steps: Steps, images: int, rows: int, length: int) -> tuple[Tensor, Tensor, list[Tensor]]:
    regions, past = torch.randn(images, REGIONS, CHANNELS), []
    for decoder in steps.decoders:
        empty = decoder.init_state(decoder.encode_memory(regions))["past_keys.0"]
        past += [torch.randn(images, rows, empty.shape[2], length, empty.shape[4]) for _ in range(2)]
    return torch.randint(VOCABULARY, (images, rows), dtype=torch.int64), regions, past


@pytest.mark.filterwarnings("ignore:# The axis name")
def test_a_graph_takes_any_number_of_images_rows_and_tokens(tmp_path: Path) -> None:
    names = "as BERT's", "as GPT-2's", "unscaled sinusoids", "as GIT's"  # test_grid.py exports the other options
    forms = [FORMS[name].model_copy(update={"layers": 1}) for name in names]
    steps = Steps([build(form).float() for form in forms]).eval()
    inputs = example(steps, 2, 3, 4)
    batch, rows, length = Dim("B"), Dim("K"), Dim("T")
    shapes = ({0: batch, 1: rows}, {0: batch}, [{0: batch, 1: rows, 3: length}] * len(inputs[2]))
    inputs_by_name = ["tokens", "regions", *(f"past.{n}" for n in range(len(inputs[2])))]
    torch.onnx.export(
        *(steps, inputs, tmp_path / "steps.onnx"),
        input_names=inputs_by_name,
        dynamic_shapes=shapes,
        dynamo=True,
        verbose=False,
        optimize=False,
    )
    session = onnxruntime.InferenceSession(tmp_path / "steps.onnx")
    for sizes in ((2, 3, 4), (1, 1, 0), (3, 5, 2)):
        tokens, regions, past = example(steps, *sizes)
        feeds = dict(zip(inputs_by_name, (each.numpy() for each in (tokens, regions, *past)), strict=True))
        for found, expected in zip(session.run(None, feeds), steps(tokens, regions, past), strict=True):
            assert found.shape == tuple(expected.shape)
            np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=2e-5 * max(1, expected.abs().max()))


def make(kind: type, **more: object) -> Decoder:
    return build_decoder(kind(**SIZES, **more), Sizes(CHANNELS, REGIONS, VOCABULARY, LONGEST))


def test_max_positions_are_the_rows_of_the_embedding() -> None:
    assert make(TransformerSettings, max_positions=12).position_embedding.shape == (12, 16)
    assert make(TransformerSettings, max_positions=LONGEST).position_embedding.shape == (LONGEST, 16)
    with pytest.raises(BadConfig, match=r"^model\.decoder\.max_positions is 6, but captions may have 7 tokens"):
        make(TransformerSettings, max_positions=6)


def test_outputs_without_a_bias_have_none() -> None:
    for tied in (True, False):
        names = [name for name, _ in make(TransformerSettings, tie_weights=tied, output_bias=False).named_parameters()]
        assert ("output.weight" in names) is not tied and not {"output_bias", "output.bias"} & set(names)


@pytest.mark.parametrize(
    ("kind", "options"), [(TransformerSettings, {"encoder_layers": 1}), (PrefixTransformerSettings, {})]
)
def test_layers_on_regions_need_their_width(kind: type, options: dict[str, int]) -> None:
    with pytest.raises(BadConfig, match="features have 6 channels and the layers on them width 16; expected"):
        make(kind, region_projection=False, **options)
    equal = kind(**SIZES, region_projection=False, **options)
    assert build_decoder(equal, Sizes(16, REGIONS, VOCABULARY, LONGEST)).encode_memory(torch.ones(2, REGIONS, 16))


def test_a_norm_after_no_projection_is_refused() -> None:
    with pytest.raises(BadConfig, match=r"^model\.decoder\.projection_norm is true without a region_projection"):
        make(TransformerSettings, region_projection=False, projection_norm=True)
