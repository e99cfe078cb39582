# SPDX-License-Identifier: PostgreSQL
"""The demonstration: what a user of the migration guide would do, on real vectors, in the embedded server.

`command` puts it together; `steps` is the way through, one function a stage; `script` prints every statement before it
runs; `vectors`, `wire` and `progress` are the means; `measure`, `plot` and `report` say what came out. The benchmarks
use the same means.
"""
