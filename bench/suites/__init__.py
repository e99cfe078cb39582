# SPDX-License-Identifier: PostgreSQL
"""Every suite, in the order in which they run: each takes the context and returns a `Result`.

Those of DATA measure the data set that was asked for, and share its tables and the graph indexes that `hnsw` has built;
those of NO_DATA bring their own, so they run once, whatever the data.
"""

from __future__ import annotations

from collections.abc import Callable

from measuring import Context, Result

from .conditions import filtered, threshold
from .conversion import conversion, migration
from .curves import halfvec, hnsw, ivf, quantization
from .foreign import foreign
from .growth import growth
from .others import store, types
from .sessions import beside_inserts, clients, inserts
from .shards import shards

Suite = Callable[[Context], Result]
DATA: dict[str, Suite] = {
    "ivf": ivf,
    "hnsw": hnsw,
    "halfvec": halfvec,
    "quantization": quantization,
    "threshold": threshold,
    "filtered": filtered,
    "inserts": inserts,
    "beside-inserts": beside_inserts,
    "clients": clients,
    "conversion": conversion,
    "migration": migration,
    "foreign": foreign,
    "store": store,
    "shards": shards,
}
NO_DATA: dict[str, Suite] = {"types": types, "growth": growth}
# What needs the graph indexes of `hnsw`.
ON_GRAPHS = ("threshold", "filtered", "inserts", "beside-inserts", "clients", "foreign")
