# SPDX-License-Identifier: PostgreSQL
"""Wrappers written for Multicorn, under our host: what they are asked, when, in which form, and how they fail.

What is expected is Multicorn 3.2's behaviour, from its documentation and regression tests, except where issue and
documentation say that ours does more (types as real Python values, exact SQLSTATEs).
"""

from __future__ import annotations

import threading
import time

import psycopg
import pytest
from fdw_database import FdwDatabase

NUMBERS = "n int, name text, value float8"


@pytest.fixture
def numbers(fdw: FdwDatabase) -> FdwDatabase:
    fdw.server_for("classic.Numbers")
    fdw.table("numbers", NUMBERS, count=6)
    return fdw


@pytest.mark.core
@pytest.mark.parametrize("form", ["dict", "sequence", "namedtuple", "userdict", "numpy"])
def test_rows_are_dicts_or_sequences(numbers: FdwDatabase, form: str) -> None:
    numbers.execute(f"ALTER FOREIGN TABLE numbers OPTIONS (ADD rows '{form}')")
    assert numbers.rows("SELECT * FROM numbers WHERE n < 4") == [
        (0, "name 0", 0.0), (1, "name 1", 0.5), (2, "name 2", None), (3, "name 3", 1.5),
    ]  # fmt: skip


def test_options_and_columns_reach_the_constructor_once(numbers: FdwDatabase) -> None:
    numbers.execute("SELECT * FROM numbers")
    assert numbers.said()[0] == "init [('count', '6')] ['n', 'name', 'value']"
    numbers.execute("SELECT * FROM numbers")
    assert not [line for line in numbers.said() if line.startswith("init")]


@pytest.mark.parametrize(
    "change",
    [
        "ALTER FOREIGN TABLE numbers OPTIONS (SET count '3')",
        "ALTER FOREIGN TABLE numbers ADD COLUMN extra text",
        "ALTER FOREIGN TABLE numbers ALTER COLUMN n TYPE bigint",
        "ALTER FOREIGN TABLE numbers ALTER COLUMN n OPTIONS (ADD key 'x')",
        "ALTER SERVER s OPTIONS (ADD anything 'x')",
        "CREATE USER MAPPING FOR CURRENT_USER SERVER s OPTIONS (secret 'x')",
    ],
)
def test_a_change_makes_a_new_instance(numbers: FdwDatabase, change: str) -> None:
    numbers.execute("SELECT * FROM numbers")
    numbers.said()
    numbers.execute(change)
    numbers.execute("SELECT * FROM numbers")
    assert [line.split()[0] for line in numbers.said()].count("init") == 1


def test_a_change_of_another_table_keeps_the_instance(numbers: FdwDatabase) -> None:
    numbers.table("other", NUMBERS)
    numbers.execute("SELECT * FROM numbers")
    numbers.said()
    numbers.execute("ALTER FOREIGN TABLE other OPTIONS (ADD count '3')")
    numbers.execute("SELECT * FROM numbers")
    assert not [line for line in numbers.said() if line.startswith("init")]


def test_user_mapping_wins_over_server_and_table(fdw: FdwDatabase) -> None:
    fdw.execute("CREATE SERVER s FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (wrapper 'classic.Numbers', a 's', b 's')")
    fdw.execute("CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (b 'u', c 'u')")
    fdw.table("t", NUMBERS, a="t", b="t", d="t")
    fdw.execute("SELECT * FROM t")
    assert fdw.said()[0].startswith("init [('a', 's'), ('b', 'u'), ('c', 'u'), ('d', 't')]")


@pytest.mark.core
@pytest.mark.parametrize(
    ("where", "quals"),
    [
        ("n = 3", ["n = 3"]),
        ("3 < n", ["n > 3"]),
        ("n IN (1, 2)", ["n = ANY([1, 2])"]),
        ("n <> ALL (ARRAY[1, 2])", ["n <> ALL([1, 2])"]),
        ("name LIKE 'name%'", ["name ~~ name%"]),
        ("name ~~* 'NAME%'", ["name ~~* NAME%"]),
        ("value IS NULL", ["value = None"]),
        ("value IS NOT NULL", ["value <> None"]),
        ("n = 3 AND name = 'x'", ["n = 3", "name = x"]),
        ("n BETWEEN 2 AND 4", ["n <= 4", "n >= 2"]),
        ("n = 1 + 2", ["n = 3"]),
        ("n = (SELECT 3)", ["n = 3"]),
        ("n = length(current_setting('server_version_num')) - 3", ["n = 3"]),
        ("n + 1 = 3", []),
        ("n = 3 OR n = 4 OR name = 'x'", []),
        ("n = (random() * 0)::int", []),
        ("n = length(name)", []),
    ],
)
def test_quals(numbers: FdwDatabase, where: str, quals: list[str]) -> None:
    found = numbers.rows(f"SELECT n FROM numbers WHERE {where}")
    [line] = [line for line in numbers.said() if line.startswith("execute")]
    assert line.startswith(f"execute {quals} ")
    numbers.execute("CREATE TEMP TABLE heap AS SELECT * FROM numbers")
    assert found == numbers.rows(f"SELECT n FROM heap WHERE {where}")


def test_boolean_columns(fdw: FdwDatabase) -> None:
    fdw.server_for("classic.Numbers")
    fdw.table("t", "n int, flag bool", rows="dict")
    for where, qual in [("flag", "flag = True"), ("NOT flag", "flag = False"), ("flag IS TRUE", "flag = True")]:
        fdw.execute(f"SELECT n FROM t WHERE {where}")
        assert f"execute ['{qual}']" in fdw.said()[-1]


def test_only_needed_columns_are_asked_for(numbers: FdwDatabase) -> None:
    for query, columns in [
        ("SELECT name FROM numbers", ["name"]),
        ("SELECT name FROM numbers WHERE value > 0", ["name", "value"]),
        ("SELECT count(*) FROM numbers", []),
        ("SELECT numbers FROM numbers", ["n", "name", "value"]),
    ]:
        numbers.execute(query)
        assert f" {columns} None" in numbers.said()[-1]


def test_parameters_of_prepared_statements(numbers: FdwDatabase) -> None:
    numbers.execute("PREPARE p(int) AS SELECT name FROM numbers WHERE n = $1")
    numbers.execute("SET plan_cache_mode = force_generic_plan")
    for n in (1, 4):
        assert numbers.column(f"EXECUTE p({n})") == [f"name {n}"]
        assert f"['n = {n}']" in numbers.said()[-1]
    # Multicorn's EXPLAIN reads a parameter that has no value yet
    assert "UNBOUND" in numbers.plan("EXECUTE p(1)")


@pytest.mark.core
def test_sort_goes_down_when_the_wrapper_keeps_it(numbers: FdwDatabase) -> None:
    numbers.execute("ALTER FOREIGN TABLE numbers OPTIONS (ADD sort 'yes')")
    assert numbers.column("SELECT n FROM numbers ORDER BY n DESC") == [5, 4, 3, 2, 1, 0]
    assert "SortKey(attname='n', attnum=1, is_reversed=True, nulls_first=True, collate=None)" in numbers.said()[-1]
    assert "Sort" not in numbers.plan("SELECT n FROM numbers ORDER BY n DESC")
    assert "Sort" in numbers.plan("SELECT n FROM numbers ORDER BY n + 1")
    numbers.said()
    numbers.execute('SELECT n FROM numbers ORDER BY name COLLATE "C"')
    assert "collate='C'" in " ".join(numbers.said())


@pytest.mark.core
def test_limit_goes_down_without_where(numbers: FdwDatabase) -> None:
    numbers.execute("ALTER FOREIGN TABLE numbers OPTIONS (ADD \"limit\" 'yes')")
    for query, pushed, expected in [
        ("SELECT n FROM numbers LIMIT 2 OFFSET 1", "{'limit': 2, 'offset': 1}", [1, 2]),
        ("SELECT n FROM numbers LIMIT 2", "{'limit': 2}", [0, 1]),
        ("SELECT n FROM numbers WHERE n > 1 LIMIT 2", "{}", [2, 3]),
        ("SELECT n FROM numbers ORDER BY n LIMIT 1", "{}", [0]),
        ("SELECT count(*) FROM numbers LIMIT 2", "{}", [6]),
        ("SELECT DISTINCT 1 FROM numbers LIMIT 2", "{}", [1]),
        ("SELECT n FROM numbers LIMIT 0", None, []),
    ]:
        assert numbers.column(query) == expected
        said = [line for line in numbers.said() if line.startswith("execute")]
        assert (said == []) if pushed is None else said[-1].endswith(pushed), query


def test_a_join_looks_up_by_path_keys(numbers: FdwDatabase) -> None:
    numbers.table("keyed", NUMBERS, count=100000, keyed="yes")
    numbers.execute("CREATE TABLE local AS SELECT g AS id FROM generate_series(1, 3) g; ANALYZE local")
    query = "SELECT name FROM local JOIN keyed ON n = id ORDER BY 1"
    assert "Nested Loop" in numbers.plan(query)
    numbers.said()
    assert numbers.column(query) == ["name 1", "name 2", "name 3"]
    assert [line[: len("execute ['n = 1']")] for line in numbers.said() if "execute" in line] == [
        f"execute ['n = {n}']" for n in (1, 2, 3)
    ]


def test_explain_asks_the_wrapper(numbers: FdwDatabase) -> None:
    assert "Multicorn: quals [n = 1]" in numbers.plan("SELECT * FROM numbers WHERE n = 1")
    assert "Multicorn: verbose True" in numbers.plan("SELECT * FROM numbers", options="VERBOSE")


def test_what_was_not_pushed_is_no_argument(numbers: FdwDatabase) -> None:
    """A wrapper that knows nothing of limits must not meet one, in EXPLAIN as in the query."""
    numbers.execute("ALTER FOREIGN TABLE numbers OPTIONS (ADD \"limit\" 'yes', ADD explain 'all')")
    assert "Multicorn: {'limit': 2, 'verbose': False}" in numbers.plan("SELECT n FROM numbers LIMIT 2")
    assert "Multicorn: {'offset': 2, 'verbose': False}" in numbers.plan("SELECT n FROM numbers OFFSET 2")
    assert "Multicorn: {'verbose': False}" in numbers.plan("SELECT n FROM numbers WHERE n = 1 LIMIT 2")


def test_the_end_of_a_scan_is_told(numbers: FdwDatabase) -> None:
    numbers.execute("ALTER FOREIGN TABLE numbers OPTIONS (ADD ends 'yes')")
    numbers.execute("SELECT * FROM numbers LIMIT 1")
    assert numbers.said()[-1] == "end_scan"


def test_scans_interleave(numbers: FdwDatabase) -> None:
    assert numbers.value("SELECT count(*) FROM numbers a JOIN numbers b ON a.n <> b.n") == 30
    assert (
        numbers.value("SELECT count(*) FROM numbers a WHERE n = (SELECT max(n) FROM numbers b WHERE b.n <= a.n)") == 6
    )


# ---- errors -----------------------------------------------------------------------------------------------------


@pytest.fixture
def trouble(fdw: FdwDatabase) -> FdwDatabase:
    fdw.server_for("classic.Trouble")
    return fdw


@pytest.mark.core
@pytest.mark.parametrize(
    ("what", "sqlstate", "message"),
    [
        ("raise", "38000", "Error in python: KeyError"),
        ("later", "38000", "Error in python: ZeroDivisionError"),
        ("init", "38000", "Error in python: RuntimeError"),
        ("level", "38000", "Error in python: KeyError"),
        ("error", "38000", "a message"),
        ("size", "HV000", "The get_rel_size python method should return a tuple of length 2"),
        ("row", "HV000", "Cannot transform anything else than mappings and sequences to rows"),
        ("short", "38000", "Error in python: IndexError"),
        ("value", "22P02", 'invalid input syntax for type integer: "not a number"'),
    ],
)
def test_a_failure_is_one_error_and_the_session_goes_on(
    trouble: FdwDatabase, what: str, sqlstate: str, message: str
) -> None:
    trouble.table("t", "n int", what=what)
    for _ in range(3):
        assert trouble.state("SELECT * FROM t") == (sqlstate, message)
    assert trouble.value("SELECT 1") == 1


def test_the_traceback_is_in_the_server_log_alone(trouble: FdwDatabase) -> None:
    trouble.table("t", "n int", what="raise")
    with pytest.raises(psycopg.Error) as caught:
        trouble.execute("SELECT * FROM t")
    assert caught.value.diag.message_detail == "'missing thing'"
    assert "Traceback" in trouble.server.log.read_text()


def test_critical_ends_the_session(trouble: FdwDatabase) -> None:
    trouble.table("t", "n int", what="critical")
    with pytest.raises(psycopg.OperationalError, match="a message"):
        trouble.execute("SELECT * FROM t")
    trouble.reconnect()
    assert trouble.value("SELECT 1") == 1


@pytest.mark.parametrize("level", ["info", "warning"])
def test_logging_reaches_the_client(trouble: FdwDatabase, level: str) -> None:
    trouble.table("t", "n int", what=level)
    seen: list[tuple[str | None, ...]] = []
    trouble.conn.add_notice_handler(
        lambda d: seen.append((d.severity, d.message_primary, d.message_detail, d.message_hint))
    )
    trouble.execute("SELECT * FROM t")
    assert seen == [(level.upper(), "a message", "a detail", "a hint")]


def test_none_ends_the_scan(trouble: FdwDatabase) -> None:
    trouble.table("t", "n int", what="none")
    assert trouble.column("SELECT n FROM t") == [1]


@pytest.mark.core
@pytest.mark.parametrize("what", ["loop", "sleep", "swallow", "checks"])
def test_a_query_is_cancelled_inside_python(trouble: FdwDatabase, what: str) -> None:
    trouble.table("t", "n int", what=what)
    trouble.execute("SELECT 1 FROM t WHERE false")  # the interpreter runs before the clock does
    for _ in range(2):
        timer = threading.Timer(0.3, trouble.conn.cancel)
        timer.start()
        begun = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled):
            trouble.execute("SELECT * FROM t")
        timer.join()
        # 0.1 s is promised after the cancel; the rest is room for a busy machine
        assert time.monotonic() - begun < 0.3 + 0.1 + 1
    trouble.execute("SET statement_timeout = 100")
    with pytest.raises(psycopg.errors.QueryCanceled, match="statement timeout"):
        trouble.execute("SELECT * FROM t")
    trouble.execute("RESET statement_timeout")
    assert trouble.value("SELECT 1") == 1


def test_every_phase_can_be_cancelled(fdw: FdwDatabase) -> None:
    fdw.server_for("classic.Slow")
    statements = {
        "init": "SELECT * FROM t", "get_rel_size": "SELECT * FROM t", "can_sort": "SELECT * FROM t ORDER BY n",
        "explain": "EXPLAIN SELECT * FROM t", "begin": "SELECT * FROM t", "next": "SELECT * FROM t",
        "end_scan": "SELECT * FROM t", "insert": "INSERT INTO t VALUES (1)", "update": "UPDATE t SET n = 2",
        "delete": "DELETE FROM t", "end_modify": "INSERT INTO t VALUES (1)", "pre_commit": "SELECT * FROM t",
        "import_schema": "IMPORT FOREIGN SCHEMA a FROM SERVER s INTO public",
    }  # fmt: skip
    for phase, statement in statements.items():
        fdw.table("t", "n int", phase=phase)
        timer = threading.Timer(0.15, fdw.conn.cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            fdw.execute(statement)
        timer.join()
        fdw.execute("DROP FOREIGN TABLE t")
    assert fdw.value("SELECT 1") == 1


def test_a_session_is_ended_inside_python(trouble: FdwDatabase) -> None:
    trouble.table("t", "n int", what="loop")
    pid = trouble.value("SELECT pg_backend_pid()")
    with trouble.connect() as other:
        timer = threading.Timer(0.3, lambda: other.execute("SELECT pg_terminate_backend(%s)", [pid]))
        timer.start()
        with pytest.raises(psycopg.errors.AdminShutdown):
            trouble.execute("SELECT * FROM t")
        timer.join()
    trouble.reconnect()


# ---- options and rights --------------------------------------------------------------------------------------------


def test_wrapper_belongs_to_the_server(fdw: FdwDatabase) -> None:
    create = "CREATE SERVER x FOREIGN DATA WRAPPER ruvector_fdw"
    assert fdw.state(create) == ("HV00J", "The wrapper parameter is mandatory, specify a valid class name")
    assert fdw.state(f"{create} OPTIONS (wrapper 'nowhere.Class')") == ("38000", "Error in python: ModuleNotFoundError")
    assert fdw.state(f"{create} OPTIONS (wrapper 'classic.Absent')") == ("38000", "Error in python: AttributeError")
    assert fdw.state(f"{create} OPTIONS (wrapper 'classic')")[0] == "22023"
    assert fdw.state(f"{create} OPTIONS (wrapper 'classic.Numbers', kind 'store')")[0] == "HV00D"
    assert fdw.state(f"{create} OPTIONS (kind 'absent')")[0] == "HV024"
    fdw.server_for("classic.Numbers")
    assert fdw.state("CREATE FOREIGN TABLE t (n int) SERVER s OPTIONS (wrapper 'classic.Echo')") == (
        "HV00D", "Cannot set the wrapper class on the table",
    )  # fmt: skip
    assert fdw.state("CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (wrapper 'classic.Echo')")[0] == "HV00D"
    assert fdw.state("ALTER SERVER s OPTIONS (DROP wrapper)")[0] == "HV00J"


def test_a_class_or_a_path_needs_the_right(fdw: FdwDatabase) -> None:
    fdw.execute("CREATE ROLE plain; GRANT USAGE ON FOREIGN DATA WRAPPER ruvector_fdw TO plain")
    fdw.execute("GRANT CREATE ON SCHEMA public TO plain")
    try:
        fdw.execute("SET ROLE plain")
        create = "CREATE SERVER x FOREIGN DATA WRAPPER ruvector_fdw OPTIONS"
        assert fdw.state(f"{create} (wrapper 'classic.Numbers')")[0] == "42501"
        assert fdw.state(f"{create} (kind 'numpy', path '/x')")[0] == "42501"
        fdw.execute(f"{create} (kind 'numpy')")
        assert fdw.state("CREATE FOREIGN TABLE t (id int) SERVER x OPTIONS (path '/x')")[0] == "42501"
        assert fdw.state("CREATE USER MAPPING FOR plain SERVER x OPTIONS (path '/x')")[0] == "42501"
        assert fdw.state("IMPORT FOREIGN SCHEMA a FROM SERVER x INTO public OPTIONS (path '/x')")[0] == "42501"
        assert fdw.state('IMPORT FOREIGN SCHEMA "/x" FROM SERVER x INTO public')[0] == "42501"
        fdw.execute("RESET ROLE; GRANT pg_read_server_files TO plain; SET ROLE plain")
        fdw.execute("CREATE FOREIGN TABLE t (id int) SERVER x OPTIONS (path '/x')")
        assert fdw.state("TRUNCATE t")[0] == "42501"
    finally:
        fdw.execute("RESET ROLE; DROP OWNED BY plain CASCADE; DROP ROLE plain")


def test_a_path_in_a_user_mapping_is_its_users(fdw: FdwDatabase) -> None:
    """Reading files is one right, writing them another: also where the mapping names the file."""
    fdw.server_for("vectors.Kept")
    fdw.execute("CREATE ROLE plain; GRANT USAGE ON FOREIGN SERVER s TO plain; GRANT pg_read_server_files TO plain")
    fdw.table("kept", "id int")
    fdw.execute("GRANT ALL ON kept TO plain")
    try:
        fdw.execute("SET ROLE plain; INSERT INTO kept VALUES (1)")
        fdw.execute("CREATE USER MAPPING FOR plain SERVER s OPTIONS (path '/x')")
        for statement in ("INSERT INTO kept VALUES (1)", "DELETE FROM kept", "UPDATE kept SET id = 2"):
            assert fdw.state(statement) == ("42501", "permission denied to change a store of files")
        fdw.execute("RESET ROLE; GRANT pg_write_server_files TO plain; SET ROLE plain; INSERT INTO kept VALUES (1)")
    finally:
        fdw.execute("RESET ROLE; DROP OWNED BY plain CASCADE; DROP ROLE plain")


def test_python_path_is_for_superusers(fdw: FdwDatabase) -> None:
    fdw.server_for("classic.Numbers")
    fdw.execute("CREATE ROLE simple")
    try:
        fdw.execute("SET ROLE simple")
        assert fdw.state("SET ruvector_fdw.python_path = '/tmp'")[0] == "42501"
        assert fdw.state("SET ruvector_fdw.python = '/bin/true'")[0] == "42501"
    finally:
        fdw.execute("RESET ROLE; DROP ROLE simple")


# ---- import ---------------------------------------------------------------------------------------------------------


@pytest.mark.core
def test_import_foreign_schema(fdw: FdwDatabase) -> None:
    fdw.execute("CREATE SERVER s FOREIGN DATA WRAPPER ruvector_fdw OPTIONS (wrapper 'classic.Schemas', host 'h')")
    fdw.execute("CREATE SCHEMA target")
    fdw.execute("IMPORT FOREIGN SCHEMA far FROM SERVER s INTO target OPTIONS (deep 'yes')")
    assert fdw.said()[-1] == "import far [('host', 'h')] [('deep', 'yes')] None []"
    tables = "SELECT relname FROM pg_class WHERE relnamespace = 'target'::regnamespace ORDER BY 1"
    assert fdw.column(tables) == ["first", 'odd "name"', "third"]
    fdw.execute("SELECT * FROM target.first")
    assert fdw.said()[-1] == (
        "[('id', 'integer', 'integer', -1, {}), "
        "(\"it's\", 'character varying(10)', 'character varying', 14, {'key': \"a 'quoted' one\"})]"
    )
    fdw.execute("DROP SCHEMA target CASCADE; CREATE SCHEMA target")
    fdw.execute("IMPORT FOREIGN SCHEMA far LIMIT TO (third) FROM SERVER s INTO target")
    assert fdw.said()[-1].endswith("limit ['third']")
    assert fdw.column(tables) == ["third"]
    fdw.execute("DROP SCHEMA target CASCADE; CREATE SCHEMA target")
    fdw.execute("IMPORT FOREIGN SCHEMA far EXCEPT (third) FROM SERVER s INTO target")
    assert fdw.column(tables) == ["first", 'odd "name"']


def test_import_of_a_wrapper_without_it(fdw: FdwDatabase) -> None:
    fdw.server_for("classic.Numbers")
    assert fdw.state("IMPORT FOREIGN SCHEMA a FROM SERVER s INTO public")[0] == "0A000"


def test_threads_of_python_run_while_postgresql_works(fdw: FdwDatabase) -> None:
    fdw.server_for("classic.Ticker")
    fdw.table("ticks", "n bigint")
    before = fdw.value("SELECT n FROM ticks")
    fdw.execute("SELECT pg_sleep(0.5)")
    # a thread that adds one every 5 ms: it would stand still if the GIL were held
    assert fdw.value("SELECT n FROM ticks") - before > 10


def test_threads_of_python_do_not_reach_postgresql(fdw: FdwDatabase) -> None:
    fdw.server_for("classic.Chatty")
    fdw.table("chatty", "n int, name text")
    query = "SELECT string_agg(DISTINCT name, ''), count(md5(repeat(n::text, 1000))) FROM chatty"
    for _ in range(3):
        assert fdw.rows(query) == [("['done', 'done', 'done']", 2001)]
    assert "from a thread" not in fdw.said()
    assert "from a thread" in fdw.server.log.read_text()


def test_no_interpreter_before_the_first_foreign_table(fdw: FdwDatabase) -> None:
    maps = "SELECT pg_read_file('/proc/' || pg_backend_pid() || '/maps') LIKE '%libpython%'"
    assert fdw.value(maps) is False
    fdw.server_for("classic.Numbers")
    assert fdw.value(maps) is True
