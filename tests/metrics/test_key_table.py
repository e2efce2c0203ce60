from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.metrics import key_table
from showtell.metrics.key_table import KeyTable

key = st.integers(0, 2**64 - 2) | st.integers(0, 30)


@pytest.mark.parametrize("golden", [key_table._GOLDEN, np.uint64(1)], ids=["spread", "all in one slot"])
@given(keys=st.lists(key, unique=True, max_size=40), questions=st.lists(key, max_size=40))
def test_like_a_dictionary(golden: np.uint64, keys: list[int], questions: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_table, "_GOLDEN", golden)
        table = KeyTable(np.array(keys, np.uint64))
        found = table.find(np.array(keys + questions, np.uint64))
    places = found[: len(keys)].tolist()
    assert len(set(places)) == len(keys) and all(place < table.absent for place in places)
    known = dict(zip(keys, places, strict=True))
    assert found[len(keys) :].tolist() == [known.get(key, table.absent) for key in questions]
