/*
 * encode.c
 *		Canonical encoding of rows, version 1.
 *
 * Two rows have the same encoding if and only if they show the same values,
 * whatever their physical form, the session's settings or the machine.  All
 * numbers are big-endian.
 *
 *	row		= 01  count:u32  value*
 *	value	= 'N'										null
 *			| 'b' u8									boolean
 *			| 'i' i64									int2, int4, int8
 *			| 'f' u32 | 'd' u64							float4, float8: the image, one NaN
 *			| 't' length:u32 bytes						strings in the server's encoding; enums by
 *														label; json and xml as text; jsonb in its
 *														text form
 *			| 's' length:u32 bytes						other built-in types: their send function
 *			| 'o' length:u32 bytes						other types: their output function
 *			| 'a' ndim:u32 (size:u32 lower:i32)* value*	array
 *			| 'c' count:u32 value*						composite: live attributes in order
 *			| 'r' flags:u8 value*						range: the finite bounds
 *			| 'm' count:u32 range*						multirange
 *
 * A domain is its base type.  No type OID is part of it: those differ between
 * servers.  Every value tells its own length, so no data can imitate another
 * row.  text and the like do not go through their send functions, which would
 * convert to the client's encoding.
 *
 * The canonical form, for values of different systems, is the same with numerics
 * without trailing zeros, one zero of float4 and float8, and character(n) without
 * trailing blanks.
 *
 * What is encoded goes into a small buffer, and from there into the hash whenever
 * it is full; long strings go into the hash from where they are.
 */
#include "postgres.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "hash/encode.h"
#include "hash/encode_simple.h"

#define ENCODING_VERSION 1

/* How to encode a type; element types are resolved once, too. */
typedef struct TypeEncoder
{
	Oid			type;			/* base type */
	EncodeKind	kind;
	int16		typlen;
	bool		typbyval;
	char		typalign;
	FmgrInfo	function;		/* send or output */
	TypeCacheEntry *cache;		/* of a range or multirange */
	struct TypeEncoder *element;	/* of an array, range or multirange */
	Oid			row_type;		/* of the composite below */
	int32		row_typmod;
	int			ncolumns;
	struct TypeEncoder **columns;
} TypeEncoder;

struct HashEncoder
{
	MemoryContext context;		/* of type information */
	MemoryContext scratch;		/* reset for each row that needs it */
	bool		uses_scratch;
	char	   *buffer;			/* what has not been hashed: always room for a piece and a string */
	char	   *at;				/* end of it */
	XXH3_state_t *stream;		/* what has, if the row is long; made when one is */
	bool		streams;		/* is anything in it? */
	bool		canonical;
	int			ncolumns;
	uint8	   *kinds;			/* of the columns, close together */
	TypeEncoder **columns;
};

static void encode_value(HashEncoder *e, TypeEncoder *t, Datum value, bool isnull);

/* The kind of a base type; ENCODE_OUTPUT may become ENCODE_SEND. */
static EncodeKind
kind_of(Oid type, char typtype, char category, int16 typlen, bool canonical)
{
	switch (type)
	{
		case BOOLOID:
			return ENCODE_BOOL;
		case INT2OID:
			return ENCODE_INT2;
		case INT4OID:
			return ENCODE_INT4;
		case INT8OID:
			return ENCODE_INT8;
		case FLOAT4OID:
			return ENCODE_FLOAT4;
		case FLOAT8OID:
			return ENCODE_FLOAT8;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case JSONOID:
		case XMLOID:
			return ENCODE_TEXT;
		case NAMEOID:
			return ENCODE_NAME;
		case CHAROID:
			return ENCODE_CHAR;
		case BYTEAOID:
			return ENCODE_BYTEA;
		case DATEOID:
			return ENCODE_SENT_INT4;
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return ENCODE_SENT_INT8;
		case UUIDOID:
			return ENCODE_UUID;
		case NUMERICOID:
			return canonical ? ENCODE_OUTPUT : ENCODE_NUMERIC;
		case UNKNOWNOID:
		case CSTRINGOID:
			return ENCODE_CSTRING;
		case JSONBOID:
			return ENCODE_JSONB;
		case RECORDOID:
			return ENCODE_COMPOSITE;
	}
	switch (typtype)
	{
		case TYPTYPE_ENUM:
			return ENCODE_ENUM;
		case TYPTYPE_COMPOSITE:
			return ENCODE_COMPOSITE;
		case TYPTYPE_RANGE:
			return ENCODE_RANGE;
		case TYPTYPE_MULTIRANGE:
			return ENCODE_MULTIRANGE;
	}
	if (category == TYPCATEGORY_STRING && typlen == -1)
		return ENCODE_TEXT;		/* citext and its like */
	return ENCODE_OUTPUT;
}

/* May a built-in type's send function be trusted not to look at settings? */
static bool
sends_binary(Oid type)
{
	switch (type)
	{
		case TSVECTOROID:
		case TSQUERYOID:
		case JSONPATHOID:
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGTYPEOID:
		case REGROLEOID:
		case REGNAMESPACEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
			return false;		/* text in the client's encoding, or an OID */
		case ANYARRAYOID:
			return false;		/* in the catalog: of any element type, which may have no send function */
		default:
			return type < FirstNormalObjectId;
	}
}

/* A type's send function; InvalidOid if it has none. */
static Oid
send_function(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Oid			function;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	function = ((Form_pg_type) GETSTRUCT(tuple))->typsend;
	ReleaseSysCache(tuple);
	return function;
}

/* Looks a type up, in the encoder's memory context. */
static TypeEncoder *
resolve_type(HashEncoder *e, Oid type)
{
	MemoryContext old = MemoryContextSwitchTo(e->context);
	TypeEncoder *t = palloc0(sizeof(TypeEncoder));
	char		category;
	bool		preferred;
	Oid			function;
	bool		varlena;
	Oid			element;

	t->type = getBaseType(type);
	get_typlenbyvalalign(t->type, &t->typlen, &t->typbyval, &t->typalign);
	element = get_element_type(t->type);
	if (OidIsValid(element))
	{
		t->kind = ENCODE_ARRAY;
		t->element = resolve_type(e, element);
		MemoryContextSwitchTo(old);
		return t;
	}
	get_type_category_preferred(t->type, &category, &preferred);
	t->kind = kind_of(t->type, get_typtype(t->type), category, t->typlen, e->canonical);
	if (t->kind == ENCODE_RANGE)
	{
		t->cache = lookup_type_cache(t->type, TYPECACHE_RANGE_INFO);
		t->element = resolve_type(e, t->cache->rngelemtype->type_id);
	}
	else if (t->kind == ENCODE_MULTIRANGE)
	{
		t->cache = lookup_type_cache(t->type, TYPECACHE_MULTIRANGE_INFO);
		t->element = resolve_type(e, t->cache->rngtype->type_id);
	}
	else if (t->kind == ENCODE_OUTPUT && sends_binary(t->type) &&
			 OidIsValid(send_function(t->type)))
	{
		t->kind = ENCODE_SEND;
		fmgr_info_cxt(send_function(t->type), &t->function, e->context);
	}
	else if (t->kind == ENCODE_OUTPUT)
	{
		getTypeOutputInfo(t->type, &function, &varlena);
		fmgr_info_cxt(function, &t->function, e->context);
	}
	MemoryContextSwitchTo(old);
	return t;
}

/* Makes an encoder for rows of some types; it lives in the memory context. */
HashEncoder *
hash_encoder_create(MemoryContext context, bool canonical, int ncolumns, const Oid *types)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	HashEncoder *e = palloc0(sizeof(HashEncoder));

	e->context = context;
	e->scratch = AllocSetContextCreate(context, "migrate_ext row encoding", ALLOCSET_DEFAULT_SIZES);
	e->buffer = palloc(2 * BUFFER_BYTES + PIECE_BYTES);
	e->canonical = canonical;
	e->ncolumns = ncolumns;
	e->columns = palloc(sizeof(TypeEncoder *) * Max(ncolumns, 1));
	e->kinds = palloc(Max(ncolumns, 1));
	for (int i = 0; i < ncolumns; i++)
	{
		e->columns[i] = resolve_type(e, types[i]);
		e->kinds[i] = e->columns[i]->kind;
	}
	MemoryContextSwitchTo(old);
	return e;
}

/* An encoder for a call's arguments from first to before end; it lives as long as the call site. */
HashEncoder *
hash_encoder_for_call(FunctionCallInfo fcinfo, int first, int end, bool canonical)
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
	return hash_encoder_create(fcinfo->flinfo->fn_mcxt, canonical, end - first, types);
}

/* Hashes what is in the buffer. */
static void
flush_buffer(HashEncoder *e)
{
	if (e->stream == NULL)
		e->stream = (XXH3_state_t *) TYPEALIGN(64, MemoryContextAlloc(e->context, sizeof(XXH3_state_t) + 63));
	if (!e->streams)
		XXH3_128bits_reset(e->stream);
	e->streams = true;
	XXH3_128bits_update(e->stream, e->buffer, e->at - e->buffer);
	e->at = e->buffer;
}

/* Bytes; many are not copied. */
static void
put_image(HashEncoder *e, const char *data, uint32 length)
{
	if (length <= BUFFER_BYTES)
	{
		e->at = put_bytes(e->at, data, length);
		return;
	}
	flush_buffer(e);
	XXH3_128bits_update(e->stream, data, length);
}

/* The same, with what begins it. */
static void
put_string(HashEncoder *e, char tag, const char *data, uint32 length)
{
	e->at = put_head(e->at, tag, length);
	put_image(e, data, length);
}

static void
encode_text(HashEncoder *e, const TypeEncoder *t, Datum value)
{
	struct varlena *v = PG_DETOAST_DATUM_PACKED(value);
	uint32		length = VARSIZE_ANY_EXHDR(v);

	if (e->canonical && t->type == BPCHAROID)
	{
		while (length > 0 && VARDATA_ANY(v)[length - 1] == ' ')
			length--;
	}
	put_string(e, 't', VARDATA_ANY(v), length);
}

static void
encode_enum(HashEncoder *e, Datum value)
{
	HeapTuple	tuple = SearchSysCache1(ENUMOID, value);
	const char *label;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid internal value for enum: %u", DatumGetObjectId(value))));
	label = NameStr(((Form_pg_enum) GETSTRUCT(tuple))->enumlabel);
	put_string(e, 't', label, strlen(label));
	ReleaseSysCache(tuple);
}

static void
encode_array(HashEncoder *e, TypeEncoder *t, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	int			ndim = ARR_NDIM(array);
	Datum	   *elems;
	bool	   *nulls;
	int			n;

	e->at = put_char(e->at, 'a');
	e->at = put_u32(e->at, ndim);
	for (int i = 0; i < ndim; i++)
	{
		e->at = put_u32(e->at, ARR_DIMS(array)[i]);
		e->at = put_u32(e->at, (uint32) ARR_LBOUND(array)[i]);
	}
	deconstruct_array(array, ARR_ELEMTYPE(array), t->element->typlen, t->element->typbyval,
					  t->element->typalign, &elems, &nulls, &n);
	for (int i = 0; i < n; i++)
		encode_value(e, t->element, elems[i], nulls[i]);
}

/* Resolves the attributes of a row type, unless they are known. */
static void
resolve_row(HashEncoder *e, TypeEncoder *t, Oid type, int32 typmod, TupleDesc desc)
{
	if (t->columns != NULL && t->row_type == type && t->row_typmod == typmod &&
		t->ncolumns == desc->natts)
		return;
	t->columns = MemoryContextAllocZero(e->context, sizeof(TypeEncoder *) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped)
			t->columns[i] = resolve_type(e, TupleDescAttr(desc, i)->atttypid);
	}
	t->row_type = type;
	t->row_typmod = typmod;
	t->ncolumns = desc->natts;
}

static void
encode_composite(HashEncoder *e, TypeEncoder *t, Datum value)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(value);
	Oid			type = HeapTupleHeaderGetTypeId(header);
	int32		typmod = HeapTupleHeaderGetTypMod(header);
	TupleDesc	desc = lookup_rowtype_tupdesc_copy(type, typmod);
	HeapTupleData tuple;
	Datum	   *values = palloc(sizeof(Datum) * Max(desc->natts, 1));
	bool	   *nulls = palloc(Max(desc->natts, 1));
	uint32		live = 0;

	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;
	heap_deform_tuple(&tuple, desc, values, nulls);
	resolve_row(e, t, type, typmod, desc);
	for (int i = 0; i < desc->natts; i++)
		live += t->columns[i] != NULL ? 1 : 0;
	e->at = put_char(e->at, 'c');
	e->at = put_u32(e->at, live);
	for (int i = 0; i < desc->natts; i++)
	{
		if (t->columns[i] != NULL)
			encode_value(e, t->columns[i], values[i], nulls[i]);
	}
}

static void
encode_range(HashEncoder *e, TypeEncoder *t, Datum value)
{
	RangeBound	lower;
	RangeBound	upper;
	bool		empty;

	range_deserialize(t->cache, DatumGetRangeTypeP(value), &lower, &upper, &empty);
	e->at = put_char(e->at, 'r');
	e->at = put_char(e->at, (char) ((empty ? 1 : 0) | (lower.infinite ? 2 : 0) | (upper.infinite ? 4 : 0) |
						(lower.inclusive ? 8 : 0) | (upper.inclusive ? 16 : 0)));
	if (!empty && !lower.infinite)
		encode_value(e, t->element, lower.val, false);
	if (!empty && !upper.infinite)
		encode_value(e, t->element, upper.val, false);
}

static void
encode_multirange(HashEncoder *e, TypeEncoder *t, Datum value)
{
	RangeType **ranges;
	int32		n;

	multirange_deserialize(t->cache->rngtype, DatumGetMultirangeTypeP(value), &n, &ranges);
	e->at = put_char(e->at, 'm');
	e->at = put_u32(e->at, n);
	for (int i = 0; i < n; i++)
		encode_value(e, t->element, RangeTypePGetDatum(ranges[i]), false);
}

/* Values whose encoding needs memory, or another function. */
static void
encode_complex(HashEncoder *e, TypeEncoder *t, Datum value)
{
	const char *text;
	bytea	   *bytes;
	char	   *image;

	check_stack_depth();
	switch (t->kind)
	{
		case ENCODE_TEXT:
			encode_text(e, t, value);
			break;
		case ENCODE_NAME:
			put_string(e, 't', NameStr(*DatumGetName(value)), strlen(NameStr(*DatumGetName(value))));
			break;
		case ENCODE_CSTRING:
			put_string(e, 't', DatumGetCString(value), strlen(DatumGetCString(value)));
			break;
		case ENCODE_NUMERIC:
			bytes = DatumGetByteaPP(value);
			image = palloc(2 * VARSIZE_ANY_EXHDR(bytes) + PIECE_BYTES);
			put_image(e, image, put_numeric(image, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes)) - image);
			break;
		case ENCODE_JSONB:
			text = JsonbToCString(NULL, &DatumGetJsonbP(value)->root, 0);
			put_string(e, 't', text, strlen(text));
			break;
		case ENCODE_ENUM:
			encode_enum(e, value);
			break;
		case ENCODE_BYTEA:
			bytes = DatumGetByteaPP(value);
			put_string(e, 's', VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
			break;
		case ENCODE_SEND:
			if (e->canonical && t->type == NUMERICOID)
				value = DirectFunctionCall1(numeric_trim_scale, value);
			bytes = SendFunctionCall(&t->function, value);
			put_string(e, 's', VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ);
			break;
		case ENCODE_OUTPUT:
			text = OutputFunctionCall(&t->function, value);
			put_string(e, 'o', text, strlen(text));
			break;
		case ENCODE_ARRAY:
			encode_array(e, t, value);
			break;
		case ENCODE_COMPOSITE:
			encode_composite(e, t, value);
			break;
		case ENCODE_RANGE:
			encode_range(e, t, value);
			break;
		case ENCODE_MULTIRANGE:
			encode_multirange(e, t, value);
			break;
		default:
			elog(ERROR, "unexpected kind of value: %d", (int) t->kind);
	}
}

static void
encode_value(HashEncoder *e, TypeEncoder *t, Datum value, bool isnull)
{
	char	   *p;

	if (e->at - e->buffer > BUFFER_BYTES)
		flush_buffer(e);
	if (isnull)
		e->at = put_char(e->at, 'N');
	else if ((p = put_simple(e->canonical, t->kind, value, e->at)) != NULL)
		e->at = p;
	else
		encode_complex(e, t, value);
}

/* Encodes a value that is not simple; p is the end of what was encoded before. */
static char *
encode_rest(HashEncoder *e, TypeEncoder *t, Datum value, char *p)
{
	MemoryContext old = MemoryContextSwitchTo(e->scratch);

	e->uses_scratch = true;
	e->at = p;
	encode_complex(e, t, value);
	MemoryContextSwitchTo(old);
	return e->at;
}

/* Encodes a row; what has not been hashed is left in the buffer, until the next row. */
static void
encode_row(HashEncoder *e, const NullableDatum *values)
{
	char	   *p = put_u32(put_char(e->buffer, ENCODING_VERSION), e->ncolumns);

	if (e->uses_scratch)
		MemoryContextReset(e->scratch);
	e->uses_scratch = false;
	e->streams = false;
	for (int i = 0; i < e->ncolumns; i++)
	{
		char	   *next;

		if (p - e->buffer > BUFFER_BYTES)
		{
			e->at = p;
			flush_buffer(e);
			p = e->at;
		}
		if (values[i].isnull)
			p = put_char(p, 'N');
		else if ((next = put_simple(e->canonical, e->kinds[i], values[i].value, p)) != NULL)
			p = next;
		else
			p = encode_rest(e, e->columns[i], values[i].value, p);
	}
	e->at = p;
}

/* The hash of all of an encoded row. */
static Checksum
finish_row(HashEncoder *e)
{
	XXH128_hash_t h;

	if (e->streams)
	{
		flush_buffer(e);
		h = XXH3_128bits_digest(e->stream);
	}
	else
		h = XXH3_128bits(e->buffer, e->at - e->buffer);
	return (Checksum) {h.high64, h.low64};
}

/* The hash of a row's encoding. */
Checksum
hash_row(HashEncoder *e, const NullableDatum *values)
{
	encode_row(e, values);
	return finish_row(e);
}

/* Have two rows the same encoding?  Of long ones the hashes are compared. */
bool
hash_rows_identical(HashEncoder *a, const NullableDatum *a_values, HashEncoder *b, const NullableDatum *b_values)
{
	encode_row(a, a_values);
	encode_row(b, b_values);
	if (a->streams || b->streams)
		return a->streams && b->streams && checksum_equal(finish_row(a), finish_row(b));
	return a->at - a->buffer == b->at - b->buffer && memcmp(a->buffer, b->buffer, a->at - a->buffer) == 0;
}
