from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell.metrics import hash_table
from showtell.metrics.hash_table import HashTable

key = st.integers(0, 2**64 - 2) | st.integers(0, 30)


@pytest.mark.parametrize("multiplier", [hash_table._MULTIPLIER, np.uint64(1)], ids=["spread", "all in one slot"])
@given(keys=st.lists(key, unique=True, max_size=40), queries=st.lists(key, max_size=40))
def test_like_a_dictionary(multiplier: np.uint64, keys: list[int], queries: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hash_table, "_MULTIPLIER", multiplier)
        table = HashTable(np.array(keys, np.uint64))
        result = table.find(np.array(keys + queries, np.uint64))
    slots = result[: len(keys)].tolist()
    assert len(set(slots)) == len(keys) and all(slot < table.absent for slot in slots)
    known = dict(zip(keys, slots, strict=True))
    assert result[len(keys) :].tolist() == [known.get(key, table.absent) for key in queries]
