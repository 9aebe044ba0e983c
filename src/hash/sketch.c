/*
 * sketch.c
 *		Difference sketches: which keys differ between two sets of rows, by one pass
 *		over each.
 *
 * An invertible Bloom lookup table.  Each row, that is its key (an integer, or the
 * hash of the key columns) and the hash of all of it, is added to three cells,
 * which hold sums: of how many, of the keys, of the row hashes and of a check of
 * both.  The sketches of two sides are subtracted; what both sides have is gone,
 * and what is left is taken out again: a cell with one item tells it, which is then
 * subtracted from its other cells, and so on.  It is complete when all cells are
 * zero.  A table of n cells can be decoded up to about 0.8 n items; a row that differs
 * is two of them.
 *
 * Sums, as for checksums, not XOR: three equal rows must not look like one.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "lib/qunique.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/compat.h"
#include "hash/encode.h"
#include "hash/sketch.h"

/* Cells an item is in; each lies in a part of the table of its own. */
#define NHASHES 3

typedef struct SketchCell
{
	uint64		count;
	uint64		key;
	Checksum	row;
	uint64		check;
} SketchCell;

/* An item: a key with the hash of its row. */
typedef struct SketchItem
{
	uint64		key;
	Checksum	row;
} SketchItem;

typedef struct Sketch
{
	int32		vl_len_;		/* so that it is a bytea, too */
	uint32		cells;
	uint64		rows;
	Checksum	sum;
	SketchCell	cell[FLEXIBLE_ARRAY_MEMBER];
} Sketch;

#define SKETCH_SIZE(cells) (offsetof(Sketch, cell) + sizeof(SketchCell) * (Size) (cells))

/* What a call site keeps. */
typedef struct SketchCall
{
	bool		integer_key;
	int			nkeys;
	HashEncoder *keys;
	HashEncoder *row;
	Oid			key_type;
} SketchCall;

MIGRATE_FUNCTION(migrate_sketch_accum);
MIGRATE_FUNCTION(migrate_sketch_combine);
MIGRATE_FUNCTION(migrate_sketch_serialize);
MIGRATE_FUNCTION(migrate_sketch_deserialize);
MIGRATE_FUNCTION(migrate_sketch_final);
MIGRATE_FUNCTION(migrate_sketch_checksum);
MIGRATE_FUNCTION(migrate_sketch_decode);
MIGRATE_FUNCTION(migrate_key_hash);

static Sketch *
make_sketch(MemoryContext context, uint32 cells)
{
	Sketch	   *s;

	if (cells < SKETCH_MIN_CELLS || cells > SKETCH_MAX_CELLS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a sketch has between %d and %d cells", SKETCH_MIN_CELLS, SKETCH_MAX_CELLS)));
	cells -= cells % NHASHES;
	s = MemoryContextAllocExtended(context, SKETCH_SIZE(cells), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	SET_VARSIZE(s, SKETCH_SIZE(cells));
	s->cells = cells;
	return s;
}

/* The cells an item is in, and its check. */
static inline uint64
locate(const Sketch *s, const SketchItem *item, uint32 cells[NHASHES])
{
	XXH128_hash_t h = XXH3_128bits(item, sizeof(SketchItem));
	uint32		part = s->cells / NHASHES;

	for (int i = 0; i < NHASHES; i++)
		cells[i] = i * part + (uint32) ((((h.low64 >> (21 * i)) & 0x1FFFFF) * part) >> 21);
	return h.high64;
}

/* Adds an item, or takes it out. */
static inline void
put_item(Sketch *s, const SketchItem *item, bool add)
{
	uint32		cells[NHASHES];
	uint64		check = locate(s, item, cells);

	for (int i = 0; i < NHASHES; i++)
	{
		SketchCell *c = &s->cell[cells[i]];

		c->count += add ? 1 : -1;
		c->key += add ? item->key : -item->key;
		c->check += add ? check : -check;
		if (add)
			checksum_add(&c->row, item->row);
		else
			checksum_subtract(&c->row, item->row);
	}
}

static bool
is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* What the call site keeps: keys from argument first on, then the row. */
static SketchCall *
get_call(FunctionCallInfo fcinfo, int first, int nkeys)
{
	SketchCall *call = fcinfo->flinfo->fn_extra;

	if (call != NULL && call->nkeys == nkeys)
		return call;
	if (get_fn_expr_variadic(fcinfo->flinfo) || nkeys < 1 || first + nkeys > PG_NARGS())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a sketch needs the number of key columns, the key columns and the columns, one by one")));
	call = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(SketchCall));
	call->nkeys = nkeys;
	call->key_type = get_fn_expr_argtype(fcinfo->flinfo, first);
	call->integer_key = nkeys == 1 && is_integer(call->key_type);
	call->keys = hash_encoder_for_call(fcinfo, first, first + nkeys, false);
	if (PG_NARGS() > first + nkeys)
		call->row = hash_encoder_for_call(fcinfo, first + nkeys, PG_NARGS(), false);
	fcinfo->flinfo->fn_extra = call;
	return call;
}

/* The key as a number: itself, or a hash. */
static uint64
key_number(const SketchCall *call, const NullableDatum *keys)
{
	if (call->integer_key && !keys[0].isnull)
	{
		switch (call->key_type)
		{
			case INT2OID:
				return (uint64) (int64) DatumGetInt16(keys[0].value);
			case INT4OID:
				return (uint64) (int64) DatumGetInt32(keys[0].value);
			default:
				return (uint64) DatumGetInt64(keys[0].value);
		}
	}
	return hash_row(call->keys, keys).low;
}

/* Transition function: (state, cells, nkeys, keys..., columns...). */
Datum
migrate_sketch_accum(PG_FUNCTION_ARGS)
{
	MemoryContext context = checksum_aggregate_context(fcinfo);
	Sketch	   *s = PG_ARGISNULL(0) ? NULL : (Sketch *) PG_GETARG_POINTER(0);
	int			nkeys = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2);
	SketchCall *call = get_call(fcinfo, 3, nkeys);
	SketchItem	item;

	if (s == NULL)
		s = make_sketch(context, PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1));
	item.key = key_number(call, &fcinfo->args[3]);
	item.row = hash_row(call->row, &fcinfo->args[3 + nkeys]);
	put_item(s, &item, true);
	s->rows++;
	checksum_add(&s->sum, item.row);
	PG_RETURN_POINTER(s);
}

/* a + b, or a - b, into a. */
static void
merge(Sketch *a, const Sketch *b, bool add)
{
	if (a->cells != b->cells)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sketches of different size")));
	for (uint32 i = 0; i < a->cells; i++)
	{
		SketchCell *c = &a->cell[i];
		const SketchCell *d = &b->cell[i];

		c->count += add ? d->count : -d->count;
		c->key += add ? d->key : -d->key;
		c->check += add ? d->check : -d->check;
		if (add)
			checksum_add(&c->row, d->row);
		else
			checksum_subtract(&c->row, d->row);
	}
	if (!add)
		return;
	a->rows += b->rows;
	checksum_add(&a->sum, b->sum);
}

/* Combine function. */
Datum
migrate_sketch_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = checksum_aggregate_context(fcinfo);
	Sketch	   *a = PG_ARGISNULL(0) ? NULL : (Sketch *) PG_GETARG_POINTER(0);
	Sketch	   *b = PG_ARGISNULL(1) ? NULL : (Sketch *) PG_GETARG_POINTER(1);

	if (b == NULL && a == NULL)
		PG_RETURN_NULL();
	if (b == NULL)
		PG_RETURN_POINTER(a);
	if (a == NULL)
		a = make_sketch(context, b->cells);
	merge(a, b, true);
	PG_RETURN_POINTER(a);
}

/* A copy in the current memory context. */
static Sketch *
copy_sketch(const Sketch *s)
{
	Sketch	   *copy = MemoryContextAllocHuge(CurrentMemoryContext, VARSIZE(s));

	memcpy(copy, s, VARSIZE(s));
	return copy;
}

/* Serialization: the state is its own image, between processes of one server. */
Datum
migrate_sketch_serialize(PG_FUNCTION_ARGS)
{
	(void) checksum_aggregate_context(fcinfo);
	PG_RETURN_BYTEA_P((bytea *) copy_sketch((Sketch *) PG_GETARG_POINTER(0)));
}

/* A sketch in a value, checked and aligned. */
static Sketch *
get_sketch(Datum value)
{
	Sketch	   *s = (Sketch *) PG_DETOAST_DATUM_COPY(value);

	if (VARSIZE(s) < SKETCH_SIZE(0) || s->cells % NHASHES != 0 || s->cells < SKETCH_MIN_CELLS || s->cells > SKETCH_MAX_CELLS ||
		VARSIZE(s) != SKETCH_SIZE(s->cells))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("this is no sketch")));
	return s;
}

Datum
migrate_sketch_deserialize(PG_FUNCTION_ARGS)
{
	(void) checksum_aggregate_context(fcinfo);
	PG_RETURN_POINTER(get_sketch(PG_GETARG_DATUM(0)));
}

/* Final function: the sketch as a value; null where there was no row. */
Datum
migrate_sketch_final(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P((bytea *) copy_sketch((Sketch *) PG_GETARG_POINTER(0)));
}

/* The checksum of a sketch's rows. */
Checksum
sketch_checksum(Datum sketch)
{
	return get_sketch(sketch)->sum;
}

/* migrate_ext.sketch_checksum(bytea): the checksum of the rows, as migrate_checksum gives it. */
Datum
migrate_sketch_checksum(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(checksum_to_string(sketch_checksum(PG_GETARG_DATUM(0)))));
}

/* migrate_ext.key_hash(VARIADIC "any"): the number that stands for a key in a sketch. */
Datum
migrate_key_hash(PG_FUNCTION_ARGS)
{
	SketchCall *call = get_call(fcinfo, 0, PG_NARGS());

	PG_RETURN_INT64((int64) key_number(call, &fcinfo->args[0]));
}

/* Does a cell hold one item (of either side) and nothing else? */
static bool
is_pure(const Sketch *s, uint32 number, SketchItem *item, bool *added)
{
	const SketchCell *c = &s->cell[number];
	uint32		cells[NHASHES];
	uint64		check;

	if (c->count != 1 && c->count != (uint64) -1)
		return false;
	*added = c->count == 1;
	item->key = *added ? c->key : -c->key;
	item->row = (Checksum) {0, 0};
	if (*added)
		checksum_add(&item->row, c->row);
	else
		checksum_subtract(&item->row, c->row);
	check = locate(s, item, cells);
	if (c->check != (*added ? check : -check))
		return false;
	for (int i = 0; i < NHASHES; i++)
	{
		if (cells[i] == number)
			return true;
	}
	return false;
}

static bool
is_empty(const Sketch *s)
{
	static const SketchCell zero;

	for (uint32 i = 0; i < s->cells; i++)
	{
		if (memcmp(&s->cell[i], &zero, sizeof(SketchCell)) != 0)
			return false;
	}
	return true;
}

static int
compare_keys(const void *a, const void *b)
{
	int64		x = DatumGetInt64(*(const Datum *) a);
	int64		y = DatumGetInt64(*(const Datum *) b);

	return x < y ? -1 : x > y ? 1 : 0;
}

/* Takes item after item out of a sketch; returns how many keys there were. */
static int
take_out(Sketch *s, Datum *keys)
{
	uint64		limit = (uint64) s->cells * (NHASHES + 1);
	uint32	   *queue = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(uint32) * limit);
	uint64		head = 0;
	uint64		tail = 0;
	int			n = 0;

	/* each item that is taken out lets its cells be looked at again */
	for (uint32 i = 0; i < s->cells; i++)
		queue[tail++] = i;
	while (head < tail && n < (int) s->cells)
	{
		uint32		cells[NHASHES];
		SketchItem	item;
		bool		added;

		if (!is_pure(s, queue[head++], &item, &added))
			continue;
		keys[n++] = Int64GetDatum((int64) item.key);
		(void) locate(s, &item, cells);
		put_item(s, &item, !added);
		for (int i = 0; i < NHASHES && tail < limit; i++)
			queue[tail++] = cells[i];
	}
	pfree(queue);
	return n;
}

/*
 * The keys, in order, of the rows that one of two sides has and the other has not; NULL if there are
 * more than the sketches can tell.  0 is the sketch of no row.
 */
ArrayType *
sketch_difference(Datum a, Datum b)
{
	Sketch	   *s;
	Sketch	   *other;
	Datum	   *keys;
	int			n;

	if (a == (Datum) 0 && b == (Datum) 0)
		return construct_empty_array(INT8OID);
	other = b == (Datum) 0 ? NULL : get_sketch(b);
	s = a == (Datum) 0 ? make_sketch(CurrentMemoryContext, other->cells) : get_sketch(a);
	if (other != NULL)
		merge(s, other, false);
	keys = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Datum) * s->cells);
	n = take_out(s, keys);
	if (!is_empty(s))
		return NULL;
	qsort(keys, n, sizeof(Datum), compare_keys);
	return construct_array(keys, qunique(keys, n, sizeof(Datum), compare_keys), INT8OID, sizeof(int64), true, TYPALIGN_DOUBLE);
}

/* migrate_ext.sketch_decode(bytea, bytea) RETURNS bigint[]: these keys; null if the sketches cannot tell them. */
Datum
migrate_sketch_decode(PG_FUNCTION_ARGS)
{
	ArrayType  *keys = sketch_difference(PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0),
										 PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1));

	if (keys == NULL)
		PG_RETURN_NULL();
	PG_RETURN_ARRAYTYPE_P(keys);
}
