"""Identity ids of eight digits that look random, and the serial numbers behind them.

An id is the place of a serial number in a keyed permutation of the numbers below 10^8: ids never collide, need no table
of ids taken, and lead back to the serial. Format-preserving encryption by a balanced Feistel network with cycle walking
(Black and Rogaway, "Ciphers with Arbitrary Finite Domains", CT-RSA 2002), four rounds of BLAKE2b."""

import functools
from hashlib import blake2b

IDENTITIES = 10**8
ROUNDS = 4
from_bytes = int.from_bytes


def identity_id(seed: int, serial: int) -> str:
    """The id of the serial-th identity."""
    return f"{permute(serial, IDENTITIES, f'{seed}|identity'):08d}"


def serial_of(seed: int, identity: str) -> int:
    """The serial number behind an id. Ids of another origin get some number below 10^8 too, each its own."""
    return unpermute(int(identity), IDENTITIES, f"{seed}|identity")


def permute(number: int, size: int, key: str) -> int:
    """The place of `number` in a permutation of range(size) that the key decides. Raises ValueError outside the
    range."""
    return _walk(number, size, key, forward=True)


def unpermute(place: int, size: int, key: str) -> int:
    """The number whose place it is."""
    return _walk(place, size, key, forward=False)


def _walk(number: int, size: int, key: str, forward: bool) -> int:
    if not 0 <= number < size:
        raise ValueError(f"{number} is not below {size}")
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    begun = _begun(key) if forward else _begun(key)[::-1]
    left, right = number >> half, number & mask
    if not forward:  # with the halves exchanged, a round taken back is a round
        left, right = right, left
    while True:
        for turn in begun:
            noise = turn.copy()
            noise.update(b"%d" % right)
            left, right = right, left ^ (from_bytes(noise.digest(), "big") & mask)
        number = left << half | right if forward else right << half | left
        if number < size:
            return number


@functools.lru_cache(maxsize=4096)
def _begun(key: str) -> tuple[blake2b, ...]:
    """The hash of each round, as far as it is the same for all numbers."""
    return tuple(blake2b(f"{key}|{turn}|".encode(), digest_size=16) for turn in range(ROUNDS))
