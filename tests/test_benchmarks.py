"""What the benchmarks compare is the same network on both sides, and what they compute from times is right."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from showtell.nets.captioning_model import build_decoder  # noqa: E402
from showtell.nets.decoder import Sizes  # noqa: E402
from showtell.settings import AttentionSettings, TransformerSettings  # noqa: E402

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SIZES = Sizes(channels=12, regions=5, vocab_size=20, max_length=9)
BOS, EOS = 3, 2


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Scripts import each other by the names of their files, which are no modules of anything else."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield
    for name in {*sys.modules} - before:
        if name.split(".")[0] in ("baselines", "measure", "growth", "models"):
            del sys.modules[name]


@pytest.fixture
def transformer() -> Any:
    torch.manual_seed(0)
    settings = TransformerSettings(width=16, heads=2, layers=2, ffn_dim=24)
    decoder = build_decoder(settings, SIZES).eval()
    for parameter in decoder.parameters():  # as trained: no bias is 0, no norm the identity
        torch.nn.init.normal_(parameter, 0.1, 0.4)
    return decoder


def regions_and_logits(decoder: Any, tokens: Any) -> tuple[Any, Any]:
    """Of two images: the regions that the layers read, and our logits [2, T, V]."""
    features = torch.randn(2, SIZES.regions, SIZES.channels, generator=torch.Generator().manual_seed(1))
    hidden = decoder(tokens.unsqueeze(1), decoder.encode_memory(features)).hidden
    return decoder.encoder_norm(decoder.embed_regions(features)), decoder.logits(hidden).squeeze(1)


TOKENS = [[BOS, 5, 9, 7], [BOS, 11, 4, 5]]


@torch.no_grad()
def test_the_transformer_loop_is_our_network(transformer: Any) -> None:
    from baselines.uncached_transformer import Captioner

    tokens = torch.tensor(TOKENS)
    regions, expected = regions_and_logits(transformer, tokens)
    found = Captioner(transformer, BOS, EOS, [0, 1])(tokens, regions)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_generate_runs_our_network(transformer: Any) -> None:
    pytest.importorskip("transformers")
    from baselines.generate import Generator

    tokens = torch.tensor(TOKENS)
    regions, expected = regions_and_logits(transformer, tokens)
    model = Generator(transformer, BOS, EOS, 0, [0, 1]).model
    found = model(encoder_outputs=(regions,), decoder_input_ids=tokens).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_attention_loop_is_our_network() -> None:
    from baselines.attention_lstm import Captioner

    torch.manual_seed(0)
    settings = AttentionSettings(width=8, embedding_dim=9, attention_dim=10)
    decoder = build_decoder(settings, SIZES).eval()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.7)
    features = torch.randn(1, SIZES.regions, SIZES.channels)
    memory = decoder.encode_memory(features)
    state, token, expected = decoder.init_state(memory), torch.tensor([[BOS]]), []
    for _ in range(6):
        logits, state, _ = decoder.step(token, memory, state)
        logits[..., EOS] = -torch.inf
        token = logits.argmax(-1)
        expected.append(int(token))
    assert Captioner(decoder, BOS, EOS).caption(features[0], beam_size=1, max_length=6) == expected
    assert len(set(expected)) > 2


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    from measure import Timings

    timings = Timings({"a": [1.0, 2.0, 9.0], "b": [2.0, 8.0, 27.0]}, {})
    assert timings.ratio("b", "a") == (3.0, 2.0, 4.0)
    assert timings.median("b") == 8.0


def test_the_exponent_of_growth_leaves_out_the_constant_part() -> None:
    from growth import exponent

    assert exponent([1, 10, 100, 1000], [5.0, 5.1, 100.0, 10_000.0]) == pytest.approx(2)
    assert exponent([1, 10, 100], [3.0, 30.0, 300.0]) == pytest.approx(1)


def test_a_result_is_kept_with_machine_and_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import measure

    monkeypatch.setattr(measure, "RESULTS", tmp_path / "results")
    for ratio in (2.0, 3.0):
        measure.report("peers", "how fast", (ratio, 1.0, 4.0), ("ours", 1 / 3), ("theirs", 2 / 3), "ms", same=None)
    rows = [json.loads(line) for line in (tmp_path / "results" / "peers.jsonl").read_text().splitlines()]
    assert [row["ratio"]["median"] for row in rows] == [2.0, 3.0]
    assert rows[0]["ours"] == {"what": "ours", "median": 0.33333}
    assert rows[0]["machine"]["cores"] >= 1 and rows[0]["date"].endswith("+00:00")
