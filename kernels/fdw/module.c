/* SPDX-License-Identifier: PostgreSQL
 *
 * module.c: the entry of ruvector_fdw.so: settings and callbacks. The interpreter is not started here but by the first
 * call that needs it (py_host.c), so that a backend that never touches a foreign table never pays for it.
 */
#include "postgres.h"

#include "fdw.h"
#include "utils/guc.h"

#if PG_VERSION_NUM >= 180000
PG_MODULE_MAGIC_EXT(.name = "ruvector_fdw");
#else
PG_MODULE_MAGIC;
#endif

char	   *rv_python;
char	   *rv_python_path;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	DefineCustomStringVariable("ruvector_fdw.python",
							   "Python executable whose packages foreign tables use.",
							   "Of the version the library was built with; read when the first foreign table is used.",
							   &rv_python, RV_PYTHON, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("ruvector_fdw.python_path",
							   "Directories that Python searches first, separated by colons.",
							   "Read when the first foreign table is used.",
							   &rv_python_path, "", PGC_SUSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("ruvector_fdw");
	rv_xact_init();
}
