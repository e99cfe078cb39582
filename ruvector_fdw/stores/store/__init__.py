# SPDX-License-Identifier: PostgreSQL
"""Kind `store`: a directory with engine segments and a SQLite database, read and written by many processes.

schema says what is stored, database how it is locked, snapshot what a reader sees, scan how a request is answered
(filters, fetch, rank), writer and transaction how rows change, maintenance how segments come and go; `table` gives
all of it to PostgreSQL, `ruvector_fdw.store` to Python programs.
"""
