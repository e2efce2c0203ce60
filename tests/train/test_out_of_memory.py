import pytest
import torch

from showtell.errors import BadConfig
from showtell.train.out_of_memory import explain_out_of_memory


def test_too_small_a_gpu_is_one_line() -> None:
    with pytest.raises(BadConfig, match=r"lower train\.batch_size") as caught, explain_out_of_memory():
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")
    assert "\n" not in str(caught.value) and caught.value.__cause__ is not None


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shapes"), explain_out_of_memory():
        raise RuntimeError("shapes")
