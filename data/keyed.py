"""Random numbers that depend on what they are for, and on nothing else.

Every draw comes from a generator keyed by (run seed, stage, item key), so that the number of workers, the order of
the items and a crash in between change nothing, and adding an item changes no other.
"""

import hashlib
import json
import random

import numpy as np

_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def digest(*parts) -> str:
    """Hex digest (32 characters, BLAKE2b) of JSON-able parts."""
    return hashlib.blake2b(_ENCODER.encode(parts).encode(), digest_size=16).hexdigest()


def integer(*key, bits: int = 63) -> int:
    """A uniform integer of `bits` bits (at most 128) for this key."""
    return int(digest(*key), 16) >> (128 - bits)


def generator(*key) -> np.random.Generator:
    """A numpy generator for this key; Philox, so that its stream is the same on every machine and numpy release."""
    return np.random.Generator(np.random.Philox(key=integer(*key, bits=128)))


def python_random(*key) -> random.Random:
    """A `random.Random` for this key, for libraries that take one (Faker)."""
    return random.Random(integer(*key, bits=128))


def ranked(keys, *salt) -> list:
    """The keys in the order of a hash of (salt, key): a shuffle in which a key's rank changes by a count, never at
    random, when other keys come or go."""
    return sorted(keys, key=lambda key: (digest(*salt, key), key))
