"""The network against torch's own Transformer layers, which are given the same weights and take part in the same graph,
so that gradients can be compared parameter by parameter."""

import math

import pytest
import torch
from tests.rounding import EXP_LOG, UNIT
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from showtell.errors import BadConfig
from showtell.nets.attention import dot_product_attention
from showtell.nets.transformer_decoder import TransformerDecoder
from showtell.nets.transformer_layers import DecoderLayer, EncoderLayer, MultiHeadAttention, sinusoids
from showtell.settings import TransformerSettings

SIZES = {"width": 16, "heads": 4, "ffn_dim": 24, "dropout": 0.25}
SETTINGS = TransformerSettings(**SIZES, layers=3)
FORMS = {
    "pre-norm": SETTINGS,
    "pre-norm, encoder": TransformerSettings(**SIZES, layers=1, encoder_layers=2, activation="relu"),
    "post-norm": TransformerSettings(
        **SIZES,
        norm="post",
        position_embedding="sinusoidal",
        region_position_embedding="none",
        input_norm=False,
        final_norm=False,
    ),
    "post-norm, encoder": TransformerSettings(
        **SIZES,
        norm="post",
        encoder_layers=1,
        region_position_embedding="sinusoidal",
        activation="relu",
        tie_weights=False,
    ),
}
CHANNELS, REGIONS, VOCABULARY, LONGEST = 6, 5, 11, 7


def scrambled(module: nn.Module) -> nn.Module:
    """With weights far from their gentle beginning (norms of 1, biases of 0), so that no mistake hides."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)
    for norm in (part for part in module.modules() if isinstance(part, nn.LayerNorm)):
        norm.weight.data.add_(1)  # around 0, norms behind every part would let nothing through
    return module


def build(settings: TransformerSettings) -> TransformerDecoder:
    """In float64, positions too; what their float32 table is worth has a test of its own."""
    decoder = scrambled(TransformerDecoder(settings, CHANNELS, REGIONS, VOCABULARY, LONGEST)).double().eval()
    if settings.position_embedding == "sinusoidal":
        decoder.position_embedding = positions_by_hand(LONGEST, settings.width)
    if settings.region_position_embedding == "sinusoidal":
        decoder.region_position_embedding = positions_by_hand(REGIONS, settings.width)
    return decoder


@pytest.fixture
def decoder() -> TransformerDecoder:
    return build(SETTINGS)


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> TransformerSettings:
    return FORMS[request.param]


@pytest.fixture
def regions() -> Tensor:
    return torch.randn(2, REGIONS, CHANNELS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(VOCABULARY, (2, 3, LONGEST), generator=torch.Generator().manual_seed(2))


def torch_attention(own: MultiHeadAttention) -> dict[str, Tensor]:
    """Our projections under the names of nn.MultiheadAttention."""
    inward = own.query, own.key, own.value
    return {
        "in_proj_weight": torch.cat([linear.weight for linear in inward]),
        "in_proj_bias": torch.cat([linear.bias for linear in inward]),
        "out_proj.weight": own.output.weight,
        "out_proj.bias": own.output.bias,
    }


def torch_layer(own: EncoderLayer | DecoderLayer) -> dict[str, Tensor]:
    """Our layer's parameters under the names of nn.TransformerEncoderLayer or nn.TransformerDecoderLayer."""
    plain = {"norm1": own.self_attention_norm, "linear1": own.fc1, "linear2": own.fc2}
    named = {f"self_attn.{name}": tensor for name, tensor in torch_attention(own.self_attention).items()}
    if isinstance(own, DecoderLayer):
        plain |= {"norm2": own.cross_attention_norm, "norm3": own.ffn_norm}
        named |= {f"multihead_attn.{name}": tensor for name, tensor in torch_attention(own.cross_attention).items()}
    else:
        plain |= {"norm2": own.ffn_norm}
    return named | {f"{n}.{kind}": getattr(module, kind) for n, module in plain.items() for kind in ("weight", "bias")}


def positions_by_hand(count: int, width: int) -> Tensor:
    """PE(p, 2i) = sin(p / 10000^(2i / d)), PE(p, 2i + 1) = cos(the same) (Vaswani et al. 2017, section 3.5)."""
    table = torch.zeros(count, width, dtype=torch.float64)
    for p in range(count):
        for i in range(0, width, 2):
            angle = p / 10000 ** (i / width)
            table[p, i], table[p, i + 1] = math.sin(angle), math.cos(angle)
    return table


def reference_logits(
    decoder: TransformerDecoder, settings: TransformerSettings, regions: Tensor, tokens: Tensor
) -> Tensor:
    """The whole network, assembled from torch's parts."""
    own = dict(decoder.named_parameters())
    captions, length = tokens.shape[1:]

    def normed(name: str, x: Tensor) -> Tensor:
        known = f"{name}.weight" in own
        return functional.layer_norm(x, x.shape[-1:], own[f"{name}.weight"], own[f"{name}.bias"]) if known else x

    def layer(kind: type, own_layer: EncoderLayer | DecoderLayer, *inputs: Tensor, **more: object) -> Tensor:
        theirs = kind(
            *(settings.width, settings.heads, settings.ffn_dim, settings.dropout, settings.activation),
            batch_first=True,
            norm_first=settings.norm == "pre",
            dtype=regions.dtype,
        ).eval()
        return functional_call(theirs, torch_layer(own_layer), inputs, more)

    fixed = positions_by_hand(9, settings.width).to(regions.dtype)
    seen = functional.linear(
        normed("region_projection.0", regions), own["region_projection.1.weight"], own["region_projection.1.bias"]
    )
    places = {"learned": own.get("region_position_embedding"), "sinusoidal": fixed[:REGIONS], "none": torch.zeros(1)}
    seen = seen + places[settings.region_position_embedding]
    for each in decoder.encoder_layers:
        seen = layer(nn.TransformerEncoderLayer, each, seen)
    seen = normed("encoder_norm", seen).repeat_interleave(captions, 0)
    x = functional.embedding(tokens.flatten(0, 1), own["token_embedding.weight"])
    x = (
        x * 4 + fixed[:length]
        if settings.position_embedding == "sinusoidal"
        else x + own["position_embedding"][:length]
    )
    mask = nn.Transformer.generate_square_subsequent_mask(length, dtype=x.dtype)
    for each in decoder.layers:
        x = layer(nn.TransformerDecoderLayer, each, x, seen, tgt_mask=mask, tgt_is_causal=True)
    bias = own["output_bias"] if settings.tie_weights else own["output.bias"]
    weight = own["token_embedding.weight"] if settings.tie_weights else own["output.weight"]
    return functional.linear(normed("norm", x), weight, bias).unflatten(0, (-1, captions))


def own_logits(decoder: TransformerDecoder, regions: Tensor, tokens: Tensor) -> Tensor:
    return decoder.logits(decoder(tokens, decoder.encode_memory(regions)).hidden)


def test_forward_equals_torch(form: TransformerSettings, regions: Tensor, tokens: Tensor) -> None:
    decoder = build(form)
    with torch.no_grad():
        found, expected = own_logits(decoder, regions, tokens), reference_logits(decoder, form, regions, tokens)
    assert expected.std() > 0.5
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)


def test_sinusoids_equal_the_formula() -> None:
    """In float32: the exponent of a rate, at most ln(10000), has two roundings, exp is off by two ulp; a place times
    its rate has one more, and sin or cos two ulp of at most 1."""
    count, width = 9, 16
    of_angle = UNIT * (count - 1) * (2 * math.log(10000) + EXP_LOG + 1)
    bound = of_angle + EXP_LOG * UNIT
    torch.testing.assert_close(sinusoids(count, width).double(), positions_by_hand(count, width), rtol=0, atol=bound)


def test_gradients_equal_torch(form: TransformerSettings, regions: Tensor, tokens: Tensor) -> None:
    decoder = build(form)
    regions = regions.requires_grad_()
    wanted = {"photo": regions, **dict(decoder.named_parameters())}

    def gradients(logits: Tensor) -> dict[str, Tensor]:
        loss = functional.cross_entropy(logits[:, :, :-1].flatten(0, 2), tokens[:, :, 1:].flatten())
        return dict(zip(wanted, torch.autograd.grad(loss, list(wanted.values())), strict=True))

    found = gradients(own_logits(decoder, regions, tokens))
    expected = gradients(reference_logits(decoder, form, regions, tokens))
    for name in wanted:
        # A key's bias shifts all scores of a query alike: its true gradient is 0.
        assert name.endswith("key.bias") or expected[name].abs().max() > 1e-6, name
        torch.testing.assert_close(found[name], expected[name], rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("causal", [False, True])
def test_multi_head_attention_equals_torch_with_its_weights(causal: bool) -> None:
    own = scrambled(MultiHeadAttention(16, 4)).double()
    theirs = nn.MultiheadAttention(16, 4, batch_first=True).double()
    theirs.load_state_dict(torch_attention(own))
    x, y = torch.randn(2, 2, 6, 16, dtype=torch.float64)
    mask = torch.ones(6, 6, dtype=torch.bool).tril() if causal else None
    product, weights = dot_product_attention(own.queries(x), *own.keys_values(y), mask)
    # torch's masks are true where looking is forbidden.
    expected, expected_weights = theirs(x, y, y, attn_mask=None if mask is None else ~mask, average_attn_weights=False)
    torch.testing.assert_close(own.merge(product), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(weights, expected_weights, rtol=0, atol=1e-12)


def test_attention_is_the_last_layers_mean_over_heads(
    decoder: TransformerDecoder, regions: Tensor, tokens: Tensor
) -> None:
    asked = []
    decoder.layers[-1].cross_attention.query.register_forward_hook(lambda module, inputs, output: asked.append(output))
    memory = decoder.encode_memory(regions)
    attention = decoder(tokens, memory).attention
    queries = asked[0].unflatten(-1, (SETTINGS.heads, -1)).transpose(1, 2)  # [B, heads, N * T, d]
    scores = queries @ memory["keys"][:, -1].transpose(-1, -2) / 2  # the root of d = 4
    torch.testing.assert_close(attention.flatten(1, 2), scores.softmax(-1).mean(1))


def test_gradcheck(form: TransformerSettings, regions: Tensor, tokens: Tensor) -> None:
    decoder = build(form)
    names, parameters = zip(*decoder.named_parameters(), strict=True)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decoder = decoder

        def forward(self, photo: Tensor) -> Tensor:
            return own_logits(self.decoder, photo, tokens[:1, :2, :3])

    def logits(photo: Tensor, *weights: Tensor) -> Tensor:
        return functional_call(Whole(), {f"decoder.{n}": w for n, w in zip(names, weights, strict=True)}, (photo,))

    photo = regions[:1].requires_grad_()
    assert torch.autograd.gradcheck(logits, (photo, *parameters), fast_mode=True)
    assert torch.autograd.gradcheck(lambda photo: logits(photo, *parameters), (photo,))


def test_words_are_embedded_and_written_by_the_same_weights(decoder: TransformerDecoder) -> None:
    with_vocabulary = {name for name, tensor in decoder.named_parameters() if VOCABULARY in tensor.shape}
    assert with_vocabulary == {"token_embedding.weight", "output_bias"}
    hidden = torch.randn(2, 16, dtype=torch.float64)
    torch.testing.assert_close(decoder.logits(hidden), hidden @ decoder.token_embedding.weight.T + decoder.output_bias)


def test_an_untrained_decoder_is_unsure_of_every_word() -> None:
    torch.manual_seed(0)
    decoder = TransformerDecoder(TransformerSettings(), 64, 49, 2000, 20).eval()
    with torch.no_grad():
        logits = own_logits(decoder, torch.randn(2, 49, 64), torch.randint(2000, (2, 2, 20)))
    entropy = torch.distributions.Categorical(logits=logits).entropy()
    assert entropy.min() > 0.97 * torch.tensor(2000.0).log()


def test_regions_have_places(decoder: TransformerDecoder, regions: Tensor, tokens: Tensor) -> None:
    swapped = regions[:, [1, 0, 2, 3, 4]]
    assert (own_logits(decoder, regions, tokens) - own_logits(decoder, swapped, tokens)).abs().max() > 0.01


def test_dropout_acts_in_training_only(decoder: TransformerDecoder, regions: Tensor, tokens: Tensor) -> None:
    torch.testing.assert_close(own_logits(decoder, regions, tokens), own_logits(decoder, regions, tokens))
    decoder.train()
    assert (own_logits(decoder, regions, tokens) - own_logits(decoder, regions, tokens)).abs().max() > 0.01


def test_width_must_be_a_multiple_of_heads() -> None:
    with pytest.raises(BadConfig, match="width 16 is no multiple of heads 5"):
        TransformerDecoder(TransformerSettings(width=16, heads=5), CHANNELS, REGIONS, VOCABULARY, LONGEST)
