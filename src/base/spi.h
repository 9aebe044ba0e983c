/*
 * spi.h
 *		Typed access to SQL: one way in, one way out.
 */
#ifndef MIGRATE_SPI_H
#define MIGRATE_SPI_H

#include "postgres.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/identity.h"

/* A typed argument of a statement. */
typedef struct SpiArg
{
	Oid			type;
	Datum		value;
	bool		null;
} SpiArg;

/* An open connection to SPI, with the identity its statements run under. */
typedef struct SpiScope
{
	MemoryContext caller;		/* results are copied here */
	Identity	identity;
	bool		switched;		/* is identity to be restored? */
} SpiScope;

#define SPI_ARGS(...) \
	((SpiArg[]) {__VA_ARGS__}), lengthof(((SpiArg[]) {__VA_ARGS__}))
#define SPI_NO_ARGS NULL, 0

static inline SpiArg
spi_int8(int64 v)
{
	return (SpiArg) {INT8OID, Int64GetDatum(v), false};
}

static inline SpiArg
spi_int4(int32 v)
{
	return (SpiArg) {INT4OID, Int32GetDatum(v), false};
}

static inline SpiArg
spi_bool(bool v)
{
	return (SpiArg) {BOOLOID, BoolGetDatum(v), false};
}

static inline SpiArg
spi_oid(Oid type, Oid v)
{
	return (SpiArg) {type, ObjectIdGetDatum(v), !OidIsValid(v)};
}

/* A C string as text; NULL is the null value. */
static inline SpiArg
spi_text(const char *v)
{
	return (SpiArg) {TEXTOID, v ? CStringGetTextDatum(v) : (Datum) 0, v == NULL};
}

/* Any Datum; 0 of a by-reference type is the null value. */
static inline SpiArg
spi_datum(Oid type, Datum v, bool null)
{
	return (SpiArg) {type, v, null};
}

extern SpiArg spi_texts(List *strings);
extern SpiArg spi_oids(List *oids);

extern void spi_open_catalog(SpiScope *scope);
extern void spi_open_owner(SpiScope *scope, Oid owner, const char *time_zone);
extern void spi_open_caller(SpiScope *scope);
extern void spi_open_reader(SpiScope *scope);
extern void spi_close(SpiScope *scope);

extern uint64 spi_run(const char *sql, const SpiArg *args, int nargs);
extern uint64 spi_run_active(const char *sql, const SpiArg *args, int nargs);
extern uint64 spi_run_fixed(const char *sql, const SpiArg *args, int nargs);
extern uint64 spi_change(const char *sql, const SpiArg *args, int nargs);
extern uint64 spi_read(const char *sql, const SpiArg *args, int nargs);

extern bool spi_is_null(uint64 row, int col);
extern Datum spi_get_datum(uint64 row, int col);
extern int64 spi_get_int8(uint64 row, int col);
extern Oid	spi_get_oid(uint64 row, int col);
extern bool spi_get_bool(uint64 row, int col);
extern char *spi_get_text(const SpiScope *scope, uint64 row, int col);
extern ArrayType *spi_get_jsonbs(const SpiScope *scope, uint64 n);
extern List *spi_get_texts(const SpiScope *scope, uint64 row, int col);
extern Datum spi_get_copy(const SpiScope *scope, uint64 row, int col);

#endif							/* MIGRATE_SPI_H */
