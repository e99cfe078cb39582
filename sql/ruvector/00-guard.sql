-- SPDX-License-Identifier: PostgreSQL
--
-- The parts of this script are joined in order. Everything is made in a schema of its own, which no other extension
-- shares, so that a name here always means ours; 90-place.sql moves it all to where it belongs.

\echo Use "CREATE EXTENSION ruvector" to load this file. \quit

CREATE SCHEMA ruvector_install;
SET LOCAL search_path = ruvector_install;
