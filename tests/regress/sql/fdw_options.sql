-- SPDX-License-Identifier: PostgreSQL
-- extensions: ruvector, ruvector_fdw
-- What a user sees of the wrapper before any store is opened: objects, options, refusals.
SELECT fdwname, fdwhandler::regproc, fdwvalidator::regproc FROM pg_foreign_data_wrapper;
SELECT c.relname, d.description FROM pg_description d JOIN pg_class c ON c.oid = d.classoid
  WHERE d.description LIKE '%ruvector_fdw' OR d.description LIKE '%Multicorn%' ORDER BY 1, 2;
CREATE SERVER s FOREIGN DATA WRAPPER ruvector_fdw;
CREATE SERVER s FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (kind 'numpy', wrapper 'a.B');
CREATE SERVER s FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (kind 'something');
CREATE SERVER s FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (wrapper 'NoModule');
ALTER FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (ADD kind 'numpy');
CREATE SERVER s FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (kind 'numpy');
CREATE FOREIGN TABLE t (id bigint, embedding ruvector(3)) SERVER s OPTIONS (kind 'numpy');
CREATE FOREIGN TABLE t (id bigint, embedding ruvector(3)) SERVER s OPTIONS (wrapper 'a.B');
CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (wrapper 'a.B');
CREATE FOREIGN TABLE t (id bigint, embedding ruvector(3)) SERVER s OPTIONS (path '/nowhere/at/all.npy');
SELECT * FROM t;
SELECT 1 AS still_here;
CREATE ROLE regress_fdw_plain;
GRANT USAGE ON FOREIGN SERVER s TO regress_fdw_plain;
GRANT CREATE ON SCHEMA public TO regress_fdw_plain;
SET ROLE regress_fdw_plain;
CREATE FOREIGN TABLE mine (id bigint) SERVER s OPTIONS (path '/nowhere/at/all.npy');
IMPORT FOREIGN SCHEMA "/nowhere" FROM SERVER s INTO public;
RESET ROLE;
DROP OWNED BY regress_fdw_plain;
DROP ROLE regress_fdw_plain;
DROP EXTENSION ruvector;
DROP EXTENSION ruvector_fdw;
DROP EXTENSION ruvector_fdw CASCADE;
