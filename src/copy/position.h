/*
 * position.h
 *		Stretches of a heap, by numbers that can be halved.
 *
 * A position is block * 65536 + offset; offset 0 is before the block's first row.
 */
#ifndef MIGRATE_POSITION_H
#define MIGRATE_POSITION_H

#include "postgres.h"
#include "access/htup_details.h"
#include "common/int.h"
#include "storage/itemptr.h"

#include "base/spi.h"
#include "catalog/job_range.h"

typedef struct Stretch
{
	uint64		low;
	uint64		high;			/* exclusive */
} Stretch;

#define POSITION(block, offset)	(((uint64) (block) << 16) | (offset))
#define POSITION_BLOCK(position)	((BlockNumber) ((position) >> 16))
#define POSITION_OFFSET(position)	((OffsetNumber) ((position) & 0xFFFF))

static inline ItemPointerData
position_tid(uint64 position)
{
	ItemPointerData tid;

	ItemPointerSet(&tid, POSITION_BLOCK(position), POSITION_OFFSET(position));
	return tid;
}

/* The last position before one that may hold a row. */
static inline uint64
position_before(uint64 position)
{
	return POSITION_OFFSET(position) > FirstOffsetNumber ? position - 1 :
		POSITION(POSITION_BLOCK(position) - 1, MaxHeapTuplesPerPage);
}

/* Can the stretch hold more than one row? */
static inline bool
stretch_is_divisible(Stretch s)
{
	return position_before(s.high) > Max(s.low, POSITION(POSITION_BLOCK(s.low), FirstOffsetNumber));
}

/* Where a divisible stretch is halved: between blocks if it has several, else between offsets. */
static inline uint64
stretch_middle(Stretch s)
{
	uint64		last = position_before(s.high);
	BlockNumber first_block = POSITION_BLOCK(s.low);
	BlockNumber last_block = POSITION_BLOCK(last);

	if (first_block != last_block)
		return POSITION(first_block + (last_block - first_block + 1) / 2, 0);
	return POSITION(first_block, (Max(POSITION_OFFSET(s.low), FirstOffsetNumber) + POSITION_OFFSET(last) + 1) / 2);
}

/* The bounds of a stretch, as arguments of a statement of the projection. */
typedef struct StretchArgs
{
	ItemPointerData low;
	ItemPointerData high;
	SpiArg		args[2];
} StretchArgs;

/* The key at a position of a relation without blocks, where block 0 and the last one are open. */
static inline int64
position_key(const Extent *e, uint64 position, bool upper)
{
	int64		block = POSITION_BLOCK(position);
	int			offset = POSITION_OFFSET(position);
	int64		key;

	if (!upper && block == 0 && offset <= FirstOffsetNumber)
		return PG_INT64_MIN;
	if (upper && block == e->key_blocks - 1 && offset >= EXTENT_STEP)
		return PG_INT64_MAX;
	offset = Min(Max(offset, FirstOffsetNumber), EXTENT_STEP) - 1;
	return pg_add_s64_overflow(e->key_base, block * EXTENT_STEP + offset, &key) ? PG_INT64_MAX : key;
}

static inline void
stretch_bind(const Extent *e, Stretch s, StretchArgs *a)
{
	if (e->key_column == NULL)
	{
		a->low = position_tid(s.low);
		a->high = position_tid(s.high);
		a->args[0] = spi_datum(TIDOID, PointerGetDatum(&a->low), false);
		a->args[1] = spi_datum(TIDOID, PointerGetDatum(&a->high), false);
		return;
	}
	a->args[0] = spi_int8(position_key(e, s.low, false));
	a->args[1] = spi_int8(position_key(e, position_before(s.high), true));
}

/* Runs a statement of the projection over a stretch. */
static inline uint64
stretch_run(const Extent *e, Stretch s, const char *sql)
{
	StretchArgs a;

	stretch_bind(e, s, &a);
	return spi_run(sql, a.args, lengthof(a.args));
}

#endif							/* MIGRATE_POSITION_H */
