# SPDX-License-Identifier: PostgreSQL
"""Vectors of any number, the same ones for the same seed: points near a plane of few dimensions, as embeddings lie."""

from __future__ import annotations

import hashlib

import numpy as np

from ruvector_fdw.demo.vectors import Dataset, Floats

DIMS, _LATENT, _NOISE, _SEED = 128, 24, 0.15, 20
_QUERIES = 100
_CHUNK = 50_000


def generate(rows: int, dims: int = DIMS) -> Dataset:
    """`rows` vectors and 100 queries of the same distribution; the first rows do not depend on how many there are."""
    rng = np.random.default_rng(_SEED)
    plane = rng.normal(size=(_LATENT, dims)).astype(np.float32) / np.sqrt(_LATENT)

    def block(number: int, count: int) -> Floats:
        own = np.random.default_rng((_SEED, number))
        latent = own.normal(size=(_CHUNK, _LATENT)).astype(np.float32)[:count]
        noise = own.normal(scale=_NOISE, size=(_CHUNK, dims)).astype(np.float32)[:count]
        return np.tanh(latent @ plane) + noise

    base = np.concatenate([block(1 + at // _CHUNK, min(_CHUNK, rows - at)) for at in range(0, rows, _CHUNK)])
    digest = hashlib.sha256(base[: min(rows, _CHUNK)].tobytes()).hexdigest()
    return Dataset(f"generated{dims}", base, block(0, _QUERIES), digest)
