# SPDX-License-Identifier: PostgreSQL
"""Recall against latency of an engine segment, in one process, beside usearch (float32) on the same vectors.

    python bench/engine/curve.py DATA [--metric l2] [--quantization sq8] [--rows N] [--queries N] [--usearch]

DATA is the beginning of file names: DATA_base.npy and DATA_queries.npy hold the vectors; the truth is computed here, so
that --rows may take a part. Prints one table; times are the best of three passes over all queries with one thread.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ruvector_fdw import _engine

EFS = (10, 20, 40, 60, 80, 100, 150, 200, 400)
K = 10


def exact_neighbours(base: NDArray[np.float32], queries: NDArray[np.float32], metric: str) -> NDArray[np.int64]:
    """The K nearest rows of every query, (queries, K)."""
    products = queries @ base.T
    if metric == "l2":
        order = (base**2).sum(axis=1)[None, :] - 2 * products
    elif metric == "cosine":
        order = -products / np.linalg.norm(base, axis=1)[None, :]
    else:
        order = -products
    return np.argpartition(order, K, axis=1)[:, :K]


def recall(found: NDArray[Any], truth: NDArray[np.int64]) -> float:
    """Share of the true neighbours among the candidates: exact distances put them in order later."""
    hits = sum(len(np.intersect1d(f, t)) for f, t in zip(found, truth, strict=True))
    return hits / truth.size


def best_of_three(run: Callable[[], NDArray[Any]], queries: int) -> tuple[NDArray[Any], float]:
    """What run returns, and microseconds a query."""
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        found = run()
        best = min(best, time.perf_counter() - start)
    return found, best / queries * 1e6


def engine_curve(base: NDArray[Any], queries: NDArray[Any], truth: NDArray[np.int64], args: argparse.Namespace) -> None:
    builder = _engine.Builder(
        "hnsw",
        args.metric,
        base.shape[1],
        quantization=args.quantization,
        m=args.m,
        ef_construction=args.ef_construction,
    )
    start = time.perf_counter()
    builder.add(base, np.arange(len(base), dtype=np.uint64))
    segment = _engine.Segment(builder.build(threads=args.threads))
    seconds = time.perf_counter() - start
    info = segment.info
    print(f"engine {args.quantization}: build {seconds:.1f} s, {info['bytes_total'] / len(base):.0f} bytes a vector")
    for ef in EFS:

        def run(ef: int = ef) -> NDArray[Any]:
            return segment.search(queries, ef, ef=ef)[0]

        found, microseconds = best_of_three(run, len(queries))
        print(f"  ef {ef:4d}  recall {recall(found, truth):.4f}  {microseconds:8.1f} us")


def usearch_curve(
    base: NDArray[Any], queries: NDArray[Any], truth: NDArray[np.int64], args: argparse.Namespace
) -> None:
    from usearch.index import Index

    metric = {"l2": "l2sq", "ip": "ip", "cosine": "cos"}[args.metric]
    index = Index(
        ndim=base.shape[1], metric=metric, dtype="f32", connectivity=args.m, expansion_add=args.ef_construction
    )
    start = time.perf_counter()
    index.add(np.arange(len(base)), base, threads=args.threads)
    print(f"usearch f32: build {time.perf_counter() - start:.1f} s")
    for ef in EFS:
        index.expansion_search = ef

        def run(ef: int = ef) -> NDArray[Any]:
            return np.asarray(index.search(queries, ef, threads=1).keys)

        found, microseconds = best_of_three(run, len(queries))
        print(f"  ef {ef:4d}  recall {recall(found, truth):.4f}  {microseconds:8.1f} us")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--metric", choices=("l2", "ip", "cosine"), default="l2")
    parser.add_argument("--quantization", choices=("none", "f16", "sq8", "pq16", "binary"), default="sq8")
    parser.add_argument("--m", type=int, default=16)
    parser.add_argument("--ef-construction", type=int, default=64)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--queries", type=int)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--usearch", action="store_true", help="also usearch on float32 (pip install usearch)")
    args = parser.parse_args()

    base = np.load(Path(f"{args.data}_base.npy"))[: args.rows].astype(np.float32)
    queries = np.load(Path(f"{args.data}_queries.npy"))[: args.queries].astype(np.float32)
    truth = exact_neighbours(base, queries, args.metric)
    print(f"{platform.processor() or platform.machine()}, {_engine.simd_level()}, {args.threads} threads to build")
    print(
        f"{len(base)} x {base.shape[1]}, {len(queries)} queries, {args.metric}, recall@{K} of the first ef candidates"
    )
    engine_curve(base, queries, truth, args)
    if args.usearch:
        usearch_curve(base, queries, truth, args)


if __name__ == "__main__":
    main()
