"""Weights as int8: values by hand, rounding that changes nothing twice, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from components.intent import quantize
from feature_repo.errors import DataError

WEIGHTS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 5), st.integers(1, 7)),
    elements=st.floats(-1e4, 1e4, width=32).filter(lambda x: x == 0 or abs(x) > 1e-20),
)


def test_a_row_is_cut_in_127_parts_of_its_largest_weight() -> None:
    whole, scale = quantize.quantized(np.array([[1.27, -0.635, 0.004], [-12.7, 0.0, 0.2]], dtype=np.float32))
    assert whole.tolist() == [[127, -63, 0], [-127, 0, 2]]  # 63.5 a little less: the scale is rounded up
    assert scale.tolist() == pytest.approx([0.01, 0.1], rel=2**-15)


@settings(max_examples=200, deadline=None)
@given(WEIGHTS)
def test_rounding_twice_changes_nothing_and_no_weight_moves_by_more_than_half_a_part(weights: np.ndarray) -> None:
    whole, scale = quantize.quantized(weights)
    once = quantize.restored(whole, scale)
    assert np.abs(whole.astype(int)).max() <= 127
    assert (np.abs(once - weights) <= scale[:, None] * np.float32(0.5001)).all()
    again, same = quantize.quantized(once)
    np.testing.assert_array_equal(again, whole)
    np.testing.assert_array_equal(quantize.restored(again, same), once)


def test_matrices_take_a_byte_a_weight_and_vectors_stay_as_they_are() -> None:
    weights = {"mix.weight": np.ones((4, 6), np.float32), "mix.bias": np.full(4, 0.1, np.float32),
               "profile_matrix": np.ones((3, 2), np.float32), "kernel": np.ones((2, 3, 3), np.float32)}  # fmt: skip
    packed = quantize.packed(weights)
    assert {name: values.dtype.name for name, values in packed.items()} == {
        "mix.weight": "int8", "mix.weight.scale": "float32", "mix.bias": "float32", "profile_matrix": "float32",
        "kernel": "int8", "kernel.scale": "float32",
    }  # fmt: skip
    for name, values in quantize.unpacked(packed).items():
        np.testing.assert_allclose(values, weights[name], rtol=1e-4)
        assert values.shape == weights[name].shape


def test_weights_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(DataError, match=r"models.intent.compress: a weight is no finite number; training diverged"):
        quantize.quantized(np.array([[1.0, np.nan]], dtype=np.float32))
