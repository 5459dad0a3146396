"""Noise that belongs to a token, not to a batch.

A sampled token is the largest of `logit + gumbel` over the tokens that may be sampled (the Gumbel-max rule: the
winner is distributed as the softmax of the logits). Here the noise is a pure function of (seed, question, sample,
position, token): Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), which
scrambles a counter, here (token, position, sample), with a key, here made of seed and question. Whatever else is in
the batch, and on whatever device the model runs, a token gets the same noise. It is computed with numpy on the host,
for the few tokens that may be sampled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64, UInt64

_MULTIPLIERS = np.array([[0xD2511F53], [0xCD9E8D57]], dtype=np.uint64)
_KEY_STEPS = np.array([[0x9E3779B9], [0xBB67AE85]], dtype=np.uint64)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


def question_keys(seed: int, question_ids: Sequence[str]) -> UInt64[np.ndarray, " questions"]:
    """The 64-bit Philox key of each question: a hash of seed and question id."""
    digests = (hashlib.blake2b(f"{seed}\n{question}".encode(), digest_size=8).digest() for question in question_ids)
    return np.array([int.from_bytes(digest, "little") for digest in digests], dtype=np.uint64)


def philox(
    keys: UInt64[np.ndarray, " n"], counters: UInt64[np.ndarray, "4 n"], rounds: int = 10
) -> UInt64[np.ndarray, "4 n"]:
    """Philox-4x32: four random 32-bit words for each key and counter.

    Args:
        keys: 64 bits each; the low half is the first key word of the paper.
        counters: four words below 2**32 each, one row a word.
        rounds: 10 is the published generator; fewer are for showing that the tests of its quality can fail.
    """
    key = np.stack([keys & _LOW, keys >> _32])
    even, odd = counters[0::2], counters[1::2]
    for _ in range(rounds):
        product = even * _MULTIPLIERS  # 32 x 32 bits fit in 64
        even = (product[::-1] >> _32) ^ odd ^ key
        odd = product[::-1] & _LOW
        key = (key + _KEY_STEPS) & _LOW
    return np.stack([even[0], odd[0], even[1], odd[1]])


def uniform(
    keys: UInt64[np.ndarray, " n"],
    samples: Int64[np.ndarray, " n"],
    positions: Int64[np.ndarray, " n"],
    tokens: Int64[np.ndarray, " n"],
) -> Float64[np.ndarray, " n"]:
    """Uniform noise in the open interval (0, 1): odd multiples of 2**-53, so neither 0 nor 1 can occur.

    Args:
        keys: of `question_keys`, one an element.
        samples: number of the sample; below 2**32, as are the others.
        positions: number of the token in the response.
        tokens: token id.
    """
    counters = np.stack([tokens, positions, samples, np.zeros_like(tokens)]).astype(np.uint64)
    words = philox(keys, counters)
    bits = (words[0] << _32 | words[1]) >> np.uint64(11) | np.uint64(1)
    noise: Float64[np.ndarray, " n"] = bits.astype(np.float64) * 2.0**-53
    return noise


def gumbel(
    keys: UInt64[np.ndarray, " n"],
    samples: Int64[np.ndarray, " n"],
    positions: Int64[np.ndarray, " n"],
    tokens: Int64[np.ndarray, " n"],
) -> Float64[np.ndarray, " n"]:
    """Standard Gumbel noise, `-log(-log(uniform))`; the arguments are those of `uniform`."""
    noise: Float64[np.ndarray, " n"] = -np.log(-np.log(uniform(keys, samples, positions, tokens)))
    return noise
