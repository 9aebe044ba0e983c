/*
 * checksum.c
 *		Set checksum: the sum, mod 2^128, of the rows' XXH3-128 hashes.
 *
 * A sum and not XOR, in which pairs of equal rows cancel; and a sum can be
 * subtracted, so that rows which are accounted for can be taken out.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "hash/checksum.h"
#include "hash/encode.h"

#define CHECKSUM_DIGITS 32

/* Transition state of the aggregate. */
typedef struct ChecksumState
{
	int64		rows;
	Checksum	sum;
} ChecksumState;

/* 32 hexadecimal digits. */
char *
checksum_to_string(Checksum c)
{
	return psprintf("%016llx%016llx", (unsigned long long) c.high, (unsigned long long) c.low);
}

static MIGRATE_NORETURN void
raise_malformed(const char *digits)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid checksum: \"%s\"", digits),
			 errhint("A checksum has %d hexadecimal digits.", CHECKSUM_DIGITS)));
}

/* What checksum_to_string gave; others are an error. */
Checksum
checksum_from_string(const char *digits)
{
	Checksum	c = {0, 0};

	if (strlen(digits) != CHECKSUM_DIGITS)
		raise_malformed(digits);
	for (int i = 0; i < CHECKSUM_DIGITS; i++)
	{
		unsigned char d = digits[i];
		uint64		value;

		if (d >= '0' && d <= '9')
			value = d - '0';
		else if (d >= 'a' && d <= 'f')
			value = d - 'a' + 10;
		else if (d >= 'A' && d <= 'F')
			value = d - 'A' + 10;
		else
			raise_malformed(digits);
		if (i < CHECKSUM_DIGITS / 2)
			c.high = c.high << 4 | value;
		else
			c.low = c.low << 4 | value;
	}
	return c;
}

static Checksum
checksum_arg(FunctionCallInfo fcinfo, int n)
{
	return checksum_from_string(text_to_cstring(PG_GETARG_TEXT_PP(n)));
}

static Datum
return_checksum(Checksum c)
{
	return PointerGetDatum(cstring_to_text(checksum_to_string(c)));
}

/* The encoder for a call's arguments from first on, kept in fn_extra. */
static HashEncoder *
get_encoder(FunctionCallInfo fcinfo, int first, bool canonical)
{
	if (fcinfo->flinfo->fn_extra != NULL)
		return fcinfo->flinfo->fn_extra;
	if (get_fn_expr_variadic(fcinfo->flinfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("VARIADIC is not supported for checksums"),
				 errhint("Pass the columns one by one, or an array as one value.")));
	fcinfo->flinfo->fn_extra = hash_encoder_for_call(fcinfo, first, PG_NARGS(), canonical);
	return fcinfo->flinfo->fn_extra;
}

/* The hash of a call's arguments from first on. */
static Checksum
hash_arguments(FunctionCallInfo fcinfo, int first, bool canonical)
{
	return hash_row(get_encoder(fcinfo, first, canonical), &fcinfo->args[first]);
}

/* Where an aggregate's state lives. */
MemoryContext
checksum_aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate support function called in non-aggregate context");
	return context;
}

MIGRATE_FUNCTION(migrate_checksum_accum);
MIGRATE_FUNCTION(migrate_checksum_combine);
MIGRATE_FUNCTION(migrate_checksum_serialize);
MIGRATE_FUNCTION(migrate_checksum_deserialize);
MIGRATE_FUNCTION(migrate_checksum_final);
MIGRATE_FUNCTION(migrate_row_checksum);
MIGRATE_FUNCTION(migrate_checksum_add);
MIGRATE_FUNCTION(migrate_checksum_subtract);
MIGRATE_FUNCTION(migrate_identical);
MIGRATE_FUNCTION(migrate_canonical_identical);
MIGRATE_FUNCTION(migrate_canonical_row_checksum);

static Datum compare_values(FunctionCallInfo fcinfo, bool canonical);

/* Transition function: adds a row. */
Datum
migrate_checksum_accum(PG_FUNCTION_ARGS)
{
	ChecksumState *state;

	state = PG_ARGISNULL(0) ? MemoryContextAllocZero(checksum_aggregate_context(fcinfo), sizeof(ChecksumState)) :
		(ChecksumState *) PG_GETARG_POINTER(0);
	state->rows++;
	checksum_add(&state->sum, hash_arguments(fcinfo, 1, false));
	PG_RETURN_POINTER(state);
}

/* Combine function: adds two partial sums. */
Datum
migrate_checksum_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = checksum_aggregate_context(fcinfo);
	ChecksumState *a = PG_ARGISNULL(0) ? NULL : (ChecksumState *) PG_GETARG_POINTER(0);
	ChecksumState *b = PG_ARGISNULL(1) ? NULL : (ChecksumState *) PG_GETARG_POINTER(1);

	if (b == NULL)
	{
		if (a == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(a);
	}
	if (a == NULL)
		a = MemoryContextAllocZero(context, sizeof(ChecksumState));
	a->rows += b->rows;
	checksum_add(&a->sum, b->sum);
	PG_RETURN_POINTER(a);
}

Datum
migrate_checksum_serialize(PG_FUNCTION_ARGS)
{
	ChecksumState *state = (ChecksumState *) PG_GETARG_POINTER(0);
	StringInfoData buf;

	(void) checksum_aggregate_context(fcinfo);
	pq_begintypsend(&buf);
	pq_sendint64(&buf, state->rows);
	pq_sendint64(&buf, state->sum.high);
	pq_sendint64(&buf, state->sum.low);
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

Datum
migrate_checksum_deserialize(PG_FUNCTION_ARGS)
{
	bytea	   *bytes = PG_GETARG_BYTEA_PP(0);
	ChecksumState *state = palloc(sizeof(ChecksumState));
	StringInfoData buf;

	(void) checksum_aggregate_context(fcinfo);
	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	state->rows = pq_getmsgint64(&buf);
	state->sum.high = pq_getmsgint64(&buf);
	state->sum.low = pq_getmsgint64(&buf);
	pq_getmsgend(&buf);
	PG_RETURN_POINTER(state);
}

/* Final function: 32 digits; zeros for no rows. */
Datum
migrate_checksum_final(PG_FUNCTION_ARGS)
{
	Checksum	zero = {0, 0};

	return return_checksum(PG_ARGISNULL(0) ? zero : ((ChecksumState *) PG_GETARG_POINTER(0))->sum);
}

/* migrate_row_checksum(VARIADIC "any"): one row's share of the sum. */
Datum
migrate_row_checksum(PG_FUNCTION_ARGS)
{
	return return_checksum(hash_arguments(fcinfo, 0, false));
}

/* The same, in canonical form. */
Datum
migrate_canonical_row_checksum(PG_FUNCTION_ARGS)
{
	return return_checksum(hash_arguments(fcinfo, 0, true));
}

/* migrate_checksum_add(text, text): the checksum of both sets of rows. */
Datum
migrate_checksum_add(PG_FUNCTION_ARGS)
{
	Checksum	sum = checksum_arg(fcinfo, 0);

	checksum_add(&sum, checksum_arg(fcinfo, 1));
	return return_checksum(sum);
}

/* migrate_checksum_subtract(text, text): without the second set of rows. */
Datum
migrate_checksum_subtract(PG_FUNCTION_ARGS)
{
	Checksum	sum = checksum_arg(fcinfo, 0);

	checksum_subtract(&sum, checksum_arg(fcinfo, 1));
	return return_checksum(sum);
}

/*
 * migrate_ext.identical("any", "any"): do the values show the same?  Unlike
 * "=" it tells 1.0 from 1.00 and works for types without that operator.
 */
Datum
migrate_identical(PG_FUNCTION_ARGS)
{
	return compare_values(fcinfo, false);
}

/* The same, in canonical form: 1.0 and 1.00 show the same. */
Datum
migrate_canonical_identical(PG_FUNCTION_ARGS)
{
	return compare_values(fcinfo, true);
}

/* Do the two arguments have the same encoding? */
static Datum
compare_values(FunctionCallInfo fcinfo, bool canonical)
{
	HashEncoder **encoders = fcinfo->flinfo->fn_extra;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_BOOL(PG_ARGISNULL(0) && PG_ARGISNULL(1));
	if (encoders == NULL)
	{
		encoders = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(HashEncoder *) * 2);
		for (int i = 0; i < 2; i++)
			encoders[i] = hash_encoder_for_call(fcinfo, i, i + 1, canonical);
		fcinfo->flinfo->fn_extra = encoders;
	}
	PG_RETURN_BOOL(hash_rows_identical(encoders[0], &fcinfo->args[0], encoders[1], &fcinfo->args[1]));
}
