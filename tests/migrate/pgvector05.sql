-- SPDX-License-Identifier: PostgreSQL
-- Makes of the pgvector that is installed one as 0.5 was: type vector, no L1, nothing for bit; then a table of it.
-- Run once in a fresh database with pgvector.
DELETE FROM pg_depend d USING pg_extension e WHERE e.extname='vector' AND d.refobjid=e.oid AND d.deptype='e' AND (
 (d.classid='pg_type'::regclass AND d.objid IN ('halfvec'::regtype,'sparsevec'::regtype,'halfvec[]'::regtype,'sparsevec[]'::regtype))
 OR (d.classid='pg_proc'::regclass AND EXISTS (SELECT FROM pg_proc p WHERE p.oid=d.objid AND (p.proname ~ 'halfvec|sparsevec|l1_|hamming|jaccard|binary_quantize|subvector|l2_normalize' OR p.prorettype IN ('halfvec'::regtype,'sparsevec'::regtype) OR p.proargtypes::oid[] && ARRAY['halfvec'::regtype::oid,'sparsevec'::regtype::oid])))
 OR (d.classid='pg_cast'::regclass AND EXISTS (SELECT FROM pg_cast p WHERE p.oid=d.objid AND (p.castsource IN ('halfvec'::regtype,'sparsevec'::regtype) OR p.casttarget IN ('halfvec'::regtype,'sparsevec'::regtype))))
 OR (d.classid='pg_operator'::regclass AND EXISTS (SELECT FROM pg_operator p WHERE p.oid=d.objid AND (p.oprleft IN ('halfvec'::regtype,'sparsevec'::regtype,'bit'::regtype) OR p.oprright IN ('halfvec'::regtype,'sparsevec'::regtype) OR p.oprname='<+>' )))
 OR (d.classid='pg_opclass'::regclass AND EXISTS (SELECT FROM pg_opclass p WHERE p.oid=d.objid AND p.opcname ~ 'halfvec|sparsevec|bit|l1'))
 OR (d.classid='pg_opfamily'::regclass AND EXISTS (SELECT FROM pg_opfamily p WHERE p.oid=d.objid AND p.opfname ~ 'halfvec|sparsevec|bit|l1')));
DROP TYPE halfvec, sparsevec CASCADE;
DO $$DECLARE r record; BEGIN
 FOR r IN SELECT opfname, amname FROM pg_opfamily f JOIN pg_am a ON a.oid=opfmethod WHERE opfname ~ 'halfvec|sparsevec|bit_|l1_ops' AND opfnamespace='public'::regnamespace LOOP EXECUTE format('DROP OPERATOR FAMILY %I USING %I CASCADE', r.opfname, r.amname); END LOOP;
 FOR r IN SELECT p.oid::regprocedure AS p FROM pg_proc p WHERE pronamespace='public'::regnamespace AND proname ~ 'l1_|hamming|jaccard|binary_quantize|subvector|l2_normalize|halfvec|sparsevec' LOOP EXECUTE 'DROP FUNCTION IF EXISTS '||r.p||' CASCADE'; END LOOP; END$$;
UPDATE pg_extension SET extversion='0.5.1' WHERE extname='vector';
CREATE TABLE items (id bigserial PRIMARY KEY, v vector(3) DEFAULT '[0,0,0]', n int);
CREATE INDEX items_h ON items USING hnsw (v vector_l2_ops) WITH (m=8);
CREATE INDEX items_i ON items USING ivfflat (v vector_cosine_ops) WITH (lists=5);
INSERT INTO items (v) SELECT ARRAY[i,1,2]::vector FROM generate_series(1,200) i;
CREATE VIEW near AS SELECT id, v <-> '[1,2,3]' AS d, cosine_distance(v, '[1,1,1]') c FROM items;
