/*
 * value.c
 *		Hash of one value, by what it shows in canonical form.
 *
 * Values have the same hash if and only if the canonical row encoding (encode.c)
 * gives the same for them, as far as 64 bits can tell.  The hash itself is another
 * one: what is frequent is hashed where it is, without being encoded.  It is for
 * the length of a call only, and stored nowhere.
 */
#include "postgres.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "catalog/pg_type.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "hash/encode.h"
#include "hash/encode_simple.h"
#include "hash/value.h"

/* How a type's values are hashed. */
typedef enum HashKind
{
	HASH_INT2,
	HASH_INT4,
	HASH_INT8,
	HASH_CHAR,
	HASH_BYTES,					/* varlena: its bytes */
	HASH_PADDED,				/* ... without blanks at the end */
	HASH_UUID,
	HASH_NUMERIC,
	HASH_ENCODED				/* anything else: by its canonical encoding */
} HashKind;

struct ValueHasher
{
	HashKind	kind;
	HashEncoder *encoder;		/* of HASH_ENCODED */
};

static HashKind
kind_of(Oid type)
{
	char		category;
	bool		preferred;

	switch (type)
	{
		case BOOLOID:
		case CHAROID:
			return HASH_CHAR;
		case INT2OID:
			return HASH_INT2;
		case INT4OID:
		case DATEOID:
		case OIDOID:
			return HASH_INT4;
		case INT8OID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return HASH_INT8;
		case BPCHAROID:
			return HASH_PADDED;
		case BYTEAOID:
		case JSONOID:
		case XMLOID:
			return HASH_BYTES;
		case UUIDOID:
			return HASH_UUID;
		case NUMERICOID:
			return HASH_NUMERIC;
	}
	if (type_is_enum(type))
		return HASH_INT4;		/* one type: its labels are told apart by their OIDs */
	get_type_category_preferred(type, &category, &preferred);
	if (category == TYPCATEGORY_STRING && get_typlen(type) == -1)
		return HASH_BYTES;
	return HASH_ENCODED;
}

/* Makes a hasher for values of a type; it lives in the memory context. */
ValueHasher *
value_hasher_create(MemoryContext context, Oid type)
{
	ValueHasher *h = MemoryContextAllocZero(context, sizeof(ValueHasher));

	h->kind = kind_of(getBaseType(type));
	if (h->kind == HASH_ENCODED)
		h->encoder = hash_encoder_create(context, true, 1, &type);
	return h;
}

/* Trailing zeros show in the scale only: the digits that are stored never end with one. */
static inline uint64
hash_numeric(const char *data, uint32 size)
{
	StoredNumeric n = read_numeric(data, size);
	uint64		head = (uint64) (uint16) n.weight | (uint64) n.sign << 16 | (uint64) n.size << 32;
	uint64		digits = 0;

	if (n.size > sizeof(digits))
		return XXH3_64bits_withSeed(n.digits, n.size, head);
	memcpy(&digits, n.digits, n.size);
	return mix_bits(mix_bits(digits) + head);
}

static inline uint64
hash_padded(const char *data, uint32 length)
{
	while (length > 0 && data[length - 1] == ' ')
		length--;
	return XXH3_64bits(data, length);
}

uint64
bytes_hash(const char *data, Size length)
{
	return XXH3_64bits(data, length);
}

/* The hash of a value that is not null; a varlena is in its place, neither compressed nor toasted. */
uint64
value_hash(const ValueHasher *h, Datum value)
{
	const char *v = DatumGetPointer(value);
	NullableDatum one;

	switch (h->kind)
	{
		case HASH_CHAR:
			return mix_bits((uint8) DatumGetChar(value));
		case HASH_INT2:
			return mix_bits((uint64) (int64) DatumGetInt16(value));
		case HASH_INT4:
			return mix_bits((uint64) (int64) DatumGetInt32(value));
		case HASH_INT8:
			return mix_bits((uint64) DatumGetInt64(value));
		case HASH_BYTES:
			return XXH3_64bits(VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
		case HASH_PADDED:
			return hash_padded(VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
		case HASH_UUID:
			return XXH3_64bits(v, UUID_LEN);
		case HASH_NUMERIC:
			return hash_numeric(VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
		case HASH_ENCODED:
			break;
	}
	one.value = value;
	one.isnull = false;
	return hash_row(h->encoder, &one).low;
}
