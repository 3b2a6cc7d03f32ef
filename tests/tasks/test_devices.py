"""What happens when memory is short, and when a GPU is lost."""

import pytest
import torch

from salmu.data.errors import UserError
from salmu.tasks.devices import gpu_is_lost, in_parts_that_fit, is_out_of_memory


@pytest.mark.parametrize("holds", [1, 2, 3, 5, 11])
def test_parts_keep_the_order_and_are_no_larger_than_memory_holds(holds):
    sizes = []

    def compute(part):
        if len(part) > holds:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(part))
        return list(part)

    results = in_parts_that_fit(compute, list(range(11)), "stage.batch_size")
    assert sum(results, []) == list(range(11)) and max(sizes) <= holds


def test_one_item_that_does_not_fit_is_an_error_of_the_user_and_other_errors_pass():
    def full(part):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(UserError, match="not even one item fits into memory"):
        in_parts_that_fit(full, [1, 2, 3], "stage.batch_size")

    def broken(part):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        in_parts_that_fit(broken, [1, 2, 3], "stage.batch_size")


@pytest.mark.parametrize(
    "error, short, lost",
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True, False),
        (MemoryError(), True, False),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True, False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True, False),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False, True),
        (RuntimeError("CUDA error: out of memory"), True, False),
        (RuntimeError("CUDA error: unspecified launch failure"), False, True),
        (ValueError("CUDA error"), False, False),
    ],
)
def test_too_little_memory_is_told_from_a_lost_gpu(error, short, lost):
    assert is_out_of_memory(error) == short and gpu_is_lost(error) == lost
