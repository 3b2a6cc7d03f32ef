"""Keyed randomness depends on the key alone."""

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from salmu.data.keyed import digest, generator, integer, python_random, ranked


def test_the_stream_is_the_same_in_another_process_and_whatever_was_drawn_before():
    np.random.default_rng(1).random(100)
    here = generator(7, "portraits", "00000001", 3).random(4).tolist()
    code = "from salmu.data.keyed import generator; print(generator(7, 'portraits', '00000001', 3).random(4).tolist())"
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "5"}
    ).stdout
    assert str(here) == there.strip()


def test_neighbouring_keys_give_unrelated_streams():
    streams = np.array([generator(0, "stage", str(i)).random(200) for i in range(40)])
    correlation = np.corrcoef(streams) - np.eye(40)
    assert abs(correlation).max() < 0.35
    assert python_random(0, "a").random() != python_random(0, "b").random()


@given(st.lists(st.text(min_size=1), unique=True, min_size=2), st.integers(0, 5))
def test_rank_order_of_the_rest_survives_a_removal(keys, seed):
    order = ranked(keys, seed, "salt")
    assert sorted(order) == sorted(keys)
    assert [key for key in order if key != keys[0]] == ranked(keys[1:], seed, "salt")


@given(st.integers(1, 128))
def test_integers_stay_below_their_width(bits):
    assert 0 <= integer("x", bits, bits=bits) < 2**bits


def test_parts_do_not_run_together():
    assert digest("ab", "c") != digest("a", "bc") != digest(["a", "bc"])
