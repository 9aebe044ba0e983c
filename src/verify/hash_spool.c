/*
 * hash_spool.c
 *		How many of very many hashes are different, exactly and in bounded memory.
 *
 * Hashes are divided among partitions by their first bits, in blocks.  Full blocks
 * stay in memory as long as there is some, which all spools of a call share; then they
 * go to one temporary file, chained to the partition's block before.  In the end one
 * partition after the other is read into a set.  One that is too large for the set is
 * read several times, each time for another part of its hashes.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/buffile.h"
#include "utils/memutils.h"

#include "hash/value.h"
#include "verify/hash_spool.h"

#define MIN_PARTITIONS 8
#define MAX_PARTITIONS 128

/* Hashes that a partition should have: a set of them stays in a processor's cache. */
#define PARTITION_HASHES 65536

/* A set may have so many, however small work_mem is. */
#define MIN_SET_HASHES (1024 * 1024)

/* One page of the file. */
typedef struct Block
{
	int64		before;			/* in the file: the partition's block before this one; -1: none */
	struct Block *kept;			/* in memory: the same */
	uint64		hashes[BLCKSZ / sizeof(uint64) - 2];
} Block;

#define BLOCK_HASHES lengthof(((Block *) NULL)->hashes)

typedef struct Partition
{
	Block	   *block;			/* that is not full; NULL: nothing has come yet */
	int			used;			/* hashes in it */
	Block	   *kept;			/* the last one in memory that is full */
	int64		last;			/* the last one in the file; -1: none */
	int64		hashes;			/* in full blocks */
} Partition;

struct HashSpool
{
	MemoryContext context;
	Size	   *memory;			/* that spools may still take */
	BufFile    *file;			/* NULL as long as all is in memory */
	int64		blocks;			/* in the file */
	uint64		seed;			/* so that nobody can choose values of one partition, or one place in a set */
	int			shift;			/* of a hash, to its partition */
	int			npartitions;
	Partition  *partitions;
};

/* A set of hashes: open addressing, never more than half full; 0 is free. */
typedef struct HashSet
{
	uint64		mask;
	uint64	   *slots;
	int64		count;
} HashSet;

/* Makes a spool for about so many hashes; memory: what full blocks may take. */
HashSpool *
hash_spool_create(MemoryContext context, double expected, Size *memory)
{
	HashSpool  *s;
	double		wanted = Max(Min(expected / PARTITION_HASHES, MAX_PARTITIONS), MIN_PARTITIONS);

	context = AllocSetContextCreate(context, "migrate_ext hashes", ALLOCSET_DEFAULT_SIZES);
	s = MemoryContextAllocZero(context, sizeof(HashSpool));
	s->context = context;
	s->memory = memory;
	s->seed = pg_prng_uint64(&pg_global_prng_state);
	s->npartitions = pg_nextpower2_32((uint32) wanted);
	s->shift = 64 - pg_leftmost_one_pos32(s->npartitions);
	s->partitions = MemoryContextAllocZero(context, sizeof(Partition) * s->npartitions);
	for (int i = 0; i < s->npartitions; i++)
		s->partitions[i].last = -1;
	return s;
}

/* Writes a block to the end of the file. */
static void
write_block(HashSpool *s, Partition *p)
{
	MemoryContext old = MemoryContextSwitchTo(s->context);

	if (s->file == NULL)
		s->file = BufFileCreateTemp(false);
	p->block->before = p->last;
	BufFileWrite(s->file, p->block, sizeof(Block));
	p->last = s->blocks++;
	MemoryContextSwitchTo(old);
}

/* Puts a partition's full block away. */
static void
end_block(HashSpool *s, Partition *p)
{
	if (*s->memory >= sizeof(Block))
	{
		*s->memory -= sizeof(Block);
		p->block->kept = p->kept;
		p->kept = p->block;
		p->block = MemoryContextAlloc(s->context, sizeof(Block));
	}
	else
		write_block(s, p);
	p->hashes += p->used;
	p->used = 0;
}

void
hash_spool_add(HashSpool *s, uint64 hash)
{
	Partition  *p;

	hash = mix_bits(hash ^ s->seed);	/* as many different ones */
	p = &s->partitions[hash >> s->shift];
	if (p->block == NULL)
		p->block = MemoryContextAlloc(s->context, sizeof(Block));
	else if (p->used == BLOCK_HASHES)
		end_block(s, p);
	p->block->hashes[p->used++] = hash;
}

static void
add_to_set(HashSet *set, const uint64 *hashes, int n, uint64 part, uint64 parts)
{
	for (int i = 0; i < n; i++)
	{
		uint64		hash = hashes[i];
		uint64		at;

		/* by bits that tell neither the partition nor the place in the set */
		if (parts > 1 && ((hash >> 32) & (parts - 1)) != part)
			continue;
		hash += hash == 0 ? 1 : 0;
		at = hash & set->mask;
		while (set->slots[at] != 0 && set->slots[at] != hash)
			at = (at + 1) & set->mask;
		if (set->slots[at] != 0)
			continue;
		if (set->count >= set->mask)
			elog(ERROR, "hashes are not spread over the parts of a partition");
		set->slots[at] = hash;
		set->count++;
	}
}

/* Reads a block; returns the number of the one before. */
static int64
read_block(HashSpool *s, int64 number, Block *block)
{
	if (BufFileSeekBlock(s->file, number) != 0 || BufFileRead(s->file, block, sizeof(Block)) != sizeof(Block))
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read block %lld of a temporary file", (long long) number)));
	return block->before;
}

/* The different hashes of one part of a partition. */
static int64
count_part(HashSpool *s, Partition *p, HashSet *set, Block *block, uint64 part, uint64 parts)
{
	memset(set->slots, 0, sizeof(uint64) * (set->mask + 1));
	set->count = 0;
	add_to_set(set, p->block->hashes, p->used, part, parts);
	for (Block *kept = p->kept; kept != NULL; kept = kept->kept)
		add_to_set(set, kept->hashes, BLOCK_HASHES, part, parts);
	for (int64 number = p->last; number >= 0;)
	{
		CHECK_FOR_INTERRUPTS();
		number = read_block(s, number, block);
		add_to_set(set, block->hashes, BLOCK_HASHES, part, parts);
	}
	return set->count;
}

static int64
count_partition(HashSpool *s, Partition *p, Block *block)
{
	uint64		hashes = p->hashes + p->used;
	uint64		most = Max(MIN_SET_HASHES, (uint64) work_mem * 1024 / sizeof(uint64) / 4);
	uint64		parts = pg_nextpower2_64((hashes + most - 1) / most);
	HashSet		set;
	int64		distinct = 0;

	/* parts are of about the same size: a little more room than for that */
	set.mask = pg_nextpower2_64(Max(hashes / parts, 64) * 9 / 4) - 1;
	set.slots = MemoryContextAllocHuge(s->context, sizeof(uint64) * (set.mask + 1));
	for (uint64 part = 0; part < parts; part++)
		distinct += count_part(s, p, &set, block, part, parts);
	pfree(set.slots);
	return distinct;
}

/* How many different hashes were added. */
int64
hash_spool_distinct(HashSpool *s)
{
	int64		distinct = 0;
	Block	   *block = MemoryContextAlloc(s->context, sizeof(Block));

	for (int i = 0; i < s->npartitions; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (s->partitions[i].block != NULL)
			distinct += count_partition(s, &s->partitions[i], block);
	}
	pfree(block);
	return distinct;
}

/* Gives the memory back. */
void
hash_spool_free(HashSpool *s)
{
	for (int i = 0; i < s->npartitions; i++)
	{
		for (Block *kept = s->partitions[i].kept; kept != NULL; kept = kept->kept)
			*s->memory += sizeof(Block);
	}
	if (s->file != NULL)
		BufFileClose(s->file);
	MemoryContextDelete(s->context);
}
