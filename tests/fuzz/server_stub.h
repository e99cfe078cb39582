/* SPDX-License-Identifier: PostgreSQL
 *
 * server_stub.h: enough of a PostgreSQL backend to call a type's functions in a plain process. server_stub.c says how.
 */
#ifndef RV_SERVER_STUB_H
#define RV_SERVER_STUB_H

#include <setjmp.h>

/* An error raised by the code under test comes back here as longjmp; stub_sqlstate is its code. */
extern jmp_buf stub_error;
extern int	stub_sqlstate;

/* Gives back everything palloc'd since the last call. */
extern void stub_free_all(void);

#endif							/* RV_SERVER_STUB_H */
