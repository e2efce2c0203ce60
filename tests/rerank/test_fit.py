"""The fitted prediction against scikit-learn's kernel ridge regression."""

from typing import Any

import numpy as np
import pytest
from tests import skips

from showtell.core.reranker import from_arrays
from showtell.rerank.fit import FitSettings, fit_reranker
from showtell.rerank.targets import build_table, mean_vector

random = np.random.default_rng(3)
POOLED = random.normal(2.0, 3.0, (60, 8)).astype(np.float32)
CAPTIONS = [[random.integers(3, 9, 5).tolist() for _ in range(2)] for _ in POOLED]
LANGUAGES = {"en": dict(enumerate(CAPTIONS)), "de": dict(list(enumerate(CAPTIONS))[10:40])}


def fit(**settings: Any) -> Any:
    done: list[int] = []
    arrays = fit_reranker(POOLED, LANGUAGES, 1, FitSettings(min_photos=1, **settings), done.append)
    assert done == [1, 1]
    return from_arrays(arrays)


def predicted(reranker: Any, language: str, features: np.ndarray) -> np.ndarray:
    model = reranker.languages[language]
    return model.mean + model.right_scale * (model.right @ reranker.see(features))


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_kernel_ridge_regression(language: str) -> None:
    """Where every photo is a landmark and the rank is whole, but for the rounding to eight bits."""
    ridge = pytest.importorskip("sklearn.kernel_ridge", reason=skips.PACKAGES)
    reranker = fit(landmarks=60, rank=60, ridge=0.3)
    captions = LANGUAGES[language]
    table = build_table(list(captions.values()), 1, 1)
    targets = np.stack([mean_vector(table, photo) for photo in captions.values()])
    scaled = (POOLED - POOLED.mean(0)) / POOLED.std(0)
    model = ridge.KernelRidge(alpha=0.3, kernel="rbf", gamma=1 / reranker.width)
    # All photos are landmarks, those without captions in this language, too: they change nothing.
    model.fit(scaled[list(captions)], targets - targets.mean(0))
    others = random.normal(2.0, 3.0, (20, 8)).astype(np.float32)
    expected = model.predict((others - POOLED.mean(0)) / POOLED.std(0)) + targets.mean(0)
    found = np.stack([predicted(reranker, language, features) for features in others])
    assert np.abs(found - expected).max() < 0.03 * np.abs(expected - targets.mean(0)).max()


def test_a_lower_rank_is_the_closest_there_is() -> None:
    """The error on the photos of the fit, in both languages together, with 4 numbers for each photo, is that of the
    best 4 of the singular value decomposition of what is predicted (Eckart and Young)."""
    whole, reduced = fit(landmarks=60, rank=60), fit(landmarks=60, rank=4)
    means = np.concatenate([whole.languages[language].mean for language in LANGUAGES])
    full, low = (
        np.stack([np.concatenate([predicted(r, language, row) for language in LANGUAGES]) for row in POOLED]) - means
        for r in (whole, reduced)
    )
    values = np.linalg.svd(full, compute_uv=False)
    assert np.linalg.norm(full - low) == pytest.approx(np.sqrt((values[4:] ** 2).sum()), rel=0.05)
    assert np.linalg.matrix_rank(low, tol=1e-6 * values[0]) == 4


def test_few_landmarks_are_enough_where_photos_are_alike() -> None:
    """Two kinds of photos: any landmark of each kind is as good as all of them."""
    kinds = np.repeat([[0.0, 0.0], [5.0, 5.0]], 30, axis=0).astype(np.float32)
    captions = {n: [[3, 4, 5]] if n < 30 else [[6, 7, 8]] for n in range(60)}
    reranker = from_arrays(fit_reranker(kinds, {"en": captions}, 1, FitSettings(12, 8, 2, 0.01), lambda _: None))
    for kind, right, wrong in ((kinds[0], [3, 4, 5], [6, 7, 8]), (kinds[-1], [6, 7, 8], [3, 4, 5])):
        sentences = [np.array(right), np.array(wrong), np.array([3, 4, 9])]
        expected = [reranker.languages["en"].expected_cider(reranker.see(kind), tokens) for tokens in sentences]
        # Three words have no n-gram of four: CIDEr is 3 / 4 of 10.
        assert expected[0] == pytest.approx(7.5, rel=0.03) and expected[1] == pytest.approx(0, abs=0.2)


def test_a_channel_that_is_always_the_same_does_no_harm() -> None:
    features = POOLED.copy()
    features[:, 2] = 7.0
    fitted = fit_reranker(features, LANGUAGES, 1, FitSettings(landmarks=20, rank=5, min_photos=1), lambda _: None)
    assert all(np.isfinite(array).all() for array in fitted.values())
    assert fitted["landmarks"].shape == (20, 8) and fitted["left"].shape == (20, 5)
