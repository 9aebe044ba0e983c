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

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/compat.h"
#include "hash/encode.h"

/* Cells an item is in; each lies in a part of the table of its own. */
#define NHASHES 3

/* Limits of the number of cells: from some to 80 MB. */
#define MIN_CELLS 30
#define MAX_CELLS 2000000

typedef struct SketchCell
{
	uint64		count;
	uint64		key;
	uint64		low;
	uint64		high;
	uint64		check;
} SketchCell;

/* An item: a key with the hash of its row. */
typedef struct SketchItem
{
	uint64		key;
	uint64		low;
	uint64		high;
} SketchItem;

typedef struct Sketch
{
	int32		vl_len_;		/* so that it is a bytea, too */
	uint32		cells;
	uint64		rows;
	uint64		sum_low;		/* the checksum */
	uint64		sum_high;
	SketchCell		cell[FLEXIBLE_ARRAY_MEMBER];
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

	if (cells < MIN_CELLS || cells > MAX_CELLS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a sketch has between %d and %d cells", MIN_CELLS, MAX_CELLS)));
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

static inline void
add_128(uint64 *low, uint64 *high, uint64 other_low, uint64 other_high)
{
	*low += other_low;
	*high += other_high + (*low < other_low ? 1 : 0);
}

static inline void
subtract_128(uint64 *low, uint64 *high, uint64 other_low, uint64 other_high)
{
	uint64		borrow = *low < other_low ? 1 : 0;

	*low -= other_low;
	*high -= other_high + borrow;
}

/* Adds an item, or takes it out. */
static inline void
put_item(Sketch *s, const SketchItem *item, bool add)
{
	uint32		cells[NHASHES];
	uint64		check = locate(s, item, cells);

	for (int i = 0; i < NHASHES; i++)
	{
		SketchCell	   *c = &s->cell[cells[i]];

		c->count += add ? 1 : -1;
		c->key += add ? item->key : -item->key;
		c->check += add ? check : -check;
		if (add)
			add_128(&c->low, &c->high, item->low, item->high);
		else
			subtract_128(&c->low, &c->high, item->low, item->high);
	}
}

static bool
is_integer(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* The types of a call's arguments from first to before end. */
static HashEncoder *
make_encoder(FunctionCallInfo fcinfo, int first, int end)
{
	Oid			types[FUNC_MAX_ARGS];

	for (int i = first; i < end; i++)
	{
		types[i - first] = get_fn_expr_argtype(fcinfo->flinfo, i);
		if (!OidIsValid(types[i - first]))
			ereport(ERROR,
					(errcode(ERRCODE_INDETERMINATE_DATATYPE),
					 errmsg("could not determine data type of argument %d", i + 1)));
	}
	return hash_encoder_create(fcinfo->flinfo->fn_mcxt, false, end - first, types);
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
	call->keys = make_encoder(fcinfo, first, first + nkeys);
	if (PG_NARGS() > first + nkeys)
		call->row = make_encoder(fcinfo, first + nkeys, PG_NARGS());
	fcinfo->flinfo->fn_extra = call;
	return call;
}

/* The key as a number: itself, or a hash. */
static uint64
key_number(const SketchCall *call, const NullableDatum *keys)
{
	StringInfo	encoded;

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
	encoded = hash_encode_row(call->keys, keys);
	return XXH3_64bits(encoded->data, encoded->len);
}

static MemoryContext
aggregate_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate support function called in non-aggregate context");
	return context;
}

/* Transition function: (state, cells, nkeys, keys..., columns...). */
Datum
migrate_sketch_accum(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
	Sketch	   *s = PG_ARGISNULL(0) ? NULL : (Sketch *) PG_GETARG_POINTER(0);
	int			nkeys = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2);
	SketchCall *call = get_call(fcinfo, 3, nkeys);
	SketchItem	item;
	StringInfo	row;
	XXH128_hash_t h;

	if (s == NULL)
		s = make_sketch(context, PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1));
	item.key = key_number(call, &fcinfo->args[3]);
	row = hash_encode_row(call->row, &fcinfo->args[3 + nkeys]);
	h = XXH3_128bits(row->data, row->len);
	item.low = h.low64;
	item.high = h.high64;
	put_item(s, &item, true);
	s->rows++;
	add_128(&s->sum_low, &s->sum_high, h.low64, h.high64);
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
		SketchCell	   *c = &a->cell[i];
		const SketchCell *d = &b->cell[i];

		c->count += add ? d->count : -d->count;
		c->key += add ? d->key : -d->key;
		c->check += add ? d->check : -d->check;
		if (add)
			add_128(&c->low, &c->high, d->low, d->high);
		else
			subtract_128(&c->low, &c->high, d->low, d->high);
	}
	if (!add)
		return;
	a->rows += b->rows;
	add_128(&a->sum_low, &a->sum_high, b->sum_low, b->sum_high);
}

/* Combine function. */
Datum
migrate_sketch_combine(PG_FUNCTION_ARGS)
{
	MemoryContext context = aggregate_context(fcinfo);
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
	(void) aggregate_context(fcinfo);
	PG_RETURN_BYTEA_P((bytea *) copy_sketch((Sketch *) PG_GETARG_POINTER(0)));
}

/* A sketch in a value, checked and aligned. */
static Sketch *
get_sketch(Datum value)
{
	Sketch	   *s = (Sketch *) PG_DETOAST_DATUM_COPY(value);

	if (VARSIZE(s) < SKETCH_SIZE(0) || s->cells % NHASHES != 0 || s->cells < MIN_CELLS || s->cells > MAX_CELLS ||
		VARSIZE(s) != SKETCH_SIZE(s->cells))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("this is no sketch")));
	return s;
}

Datum
migrate_sketch_deserialize(PG_FUNCTION_ARGS)
{
	(void) aggregate_context(fcinfo);
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

/* migrate_ext.sketch_checksum(bytea): the checksum of the rows, as migrate_checksum gives it. */
Datum
migrate_sketch_checksum(PG_FUNCTION_ARGS)
{
	Sketch	   *s = get_sketch(PG_GETARG_DATUM(0));

	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%016llx%016llx", (unsigned long long) s->sum_high,
											  (unsigned long long) s->sum_low)));
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
	item->low = 0;
	item->high = 0;
	if (*added)
		add_128(&item->low, &item->high, c->low, c->high);
	else
		subtract_128(&item->low, &item->high, c->low, c->high);
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

/*
 * migrate_ext.sketch_decode(bytea, bytea) RETURNS bigint[]: the keys of the rows that one of
 * the sides has and the other has not, each at least once; null if there
 * are more than the sketches can tell.  A null sketch is that of no row.
 */
Datum
migrate_sketch_decode(PG_FUNCTION_ARGS)
{
	Sketch	   *s;
	Sketch	   *other;
	uint32	   *queue;
	uint64		head = 0;
	uint64		tail = 0;
	uint64		limit;
	Datum	   *keys;
	int			n = 0;

	if (PG_ARGISNULL(0) && PG_ARGISNULL(1))
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(INT8OID));
	other = PG_ARGISNULL(1) ? NULL : get_sketch(PG_GETARG_DATUM(1));
	s = PG_ARGISNULL(0) ? make_sketch(CurrentMemoryContext, other->cells) : get_sketch(PG_GETARG_DATUM(0));
	if (other != NULL)
		merge(s, other, false);

	/* each item that is taken out lets its cells be looked at again */
	limit = (uint64) s->cells * (NHASHES + 1);
	queue = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(uint32) * limit);
	keys = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Datum) * s->cells);
	for (uint32 i = 0; i < s->cells; i++)
		queue[tail++] = i;
	while (head < tail && n < (int) s->cells)
	{
		uint32		cells[NHASHES];
		SketchItem		item;
		bool		added;

		if (!is_pure(s, queue[head++], &item, &added))
			continue;
		keys[n++] = Int64GetDatum((int64) item.key);
		(void) locate(s, &item, cells);
		put_item(s, &item, !added);
		for (int i = 0; i < NHASHES && tail < limit; i++)
			queue[tail++] = cells[i];
	}
	if (!is_empty(s))
		PG_RETURN_NULL();
	PG_RETURN_ARRAYTYPE_P(construct_array(keys, n, INT8OID, sizeof(int64), true, TYPALIGN_DOUBLE));
}
