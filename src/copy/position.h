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
#include "storage/itemptr.h"

#include "base/spi.h"

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

/* The bounds of a stretch as a statement's arguments: ctid >= $1 AND ctid < $2. */
#define STRETCH_ARGS(low_tid, high_tid) \
	SPI_ARGS(spi_datum(TIDOID, PointerGetDatum(low_tid), false), spi_datum(TIDOID, PointerGetDatum(high_tid), false))

/* Runs a statement of the projection over a stretch. */
static inline uint64
stretch_run(Stretch s, const char *sql)
{
	ItemPointerData low = position_tid(s.low);
	ItemPointerData high = position_tid(s.high);

	return spi_run(sql, STRETCH_ARGS(&low, &high));
}

#endif							/* MIGRATE_POSITION_H */
