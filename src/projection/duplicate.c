/*
 * duplicate.c
 *		Source rows that share one key of the target, of which one is moved (dedupe_by).
 */
#include "postgres.h"

#include "access/attnum.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "base/quote.h"
#include "projection/expression.h"
#include "projection/key.h"
#include "projection/projection.h"
#include "projection/reference.h"

/* The key columns as expressions over the source row, each with the target's collation. */
static char *
collated_key(const Mapping *m)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < list_length(m->key); i++)
		appendStringInfo(&buf, "%s%s%s", i ? ", " : "", ref_key(m, KEY_OF_SOURCE, NULL, i), ref_collation(m, list_nth(m->key, i)));
	return buf.data;
}

/*
 * The order of source rows with one key, of which the first is moved.  Where the
 * declared order leaves two rows as they come, their primary key tells or, without
 * one that covers the rows of all children, too, what they hold: everybody must find
 * the same one to be the first.
 */
static char *
row_order(const Mapping *m)
{
	StringInfoData buf;
	List	   *primary = key_has_children(m->source) ? NIL : key_primary(m->source);
	ListCell   *lc;
	ListCell   *direction;

	initStringInfo(&buf);
	forboth(lc, m->dedupe_by, direction, m->dedupe_order)
		appendStringInfo(&buf, "%s %s, ", (char *) lfirst(lc), (char *) lfirst(direction));
	foreach(lc, primary)
		appendStringInfo(&buf, "%s" SOURCE_ALIAS ".%s", foreach_current_index(lc) ? ", " : "", quote_identifier(lfirst(lc)));
	if (primary == NIL)
		appendStringInfoString(&buf, "(" SOURCE_ALIAS ".*)::record USING OPERATOR(pg_catalog.*<)");
	return buf.data;
}

/*
 * The source rows that are moved, as src, of those that "FROM <rows>" holds: all of
 * them, or the first of each key.
 */
char *
ref_moved_rows(const Mapping *m, const char *rows)
{
	char	   *key;

	if (!ref_dedupes(m))
		return (char *) rows;
	key = collated_key(m);
	return psprintf("(SELECT DISTINCT ON (%s) " SOURCE_ALIAS ".* FROM %s ORDER BY %s, %s) AS " SOURCE_ALIAS, key, rows, key, row_order(m));
}

/*
 * Of the rows that share their key with others, as (key of the one that is moved, own
 * key, image as jsonb): the first of each has no image.  Keys may be equal and not the
 * same.
 */
static char *
duplicates(const Mapping *m, const char *rows)
{
	char	   *partition = psprintf("PARTITION BY %s", collated_key(m));

	return psprintf("SELECT migrate_first, migrate_key, CASE WHEN migrate_rank > 1 THEN migrate_image END FROM "
					"(SELECT %s AS migrate_key, first_value(%s) OVER migrate_w AS migrate_first, to_jsonb(" SOURCE_ALIAS ".*) AS migrate_image, "
					"row_number() OVER migrate_w AS migrate_rank, count(*) OVER (%s) AS migrate_rows "
					"FROM %s WINDOW migrate_w AS (%s ORDER BY %s)) AS migrate_x WHERE migrate_rows > 1",
					ref_key_json(m, KEY_OF_SOURCE, NULL), ref_key_json(m, KEY_OF_SOURCE, NULL), partition, rows, partition, row_order(m));
}

/* Sync: the keys and images of source rows that lost their key, one of $1, to another row. */
char *
projection_duplicates_of_keys(const Mapping *m)
{
	/* not a join: keys may be equal and not the same */
	return duplicates(m, psprintf("%s WHERE EXISTS (SELECT FROM %s WHERE %s)%s", ref_source_rows(m), ref_key_set(m),
									  ref_keys_equal(m, KEY_OF_SET, KEYS_ALIAS, KEY_OF_SOURCE, NULL), ref_and_condition(m->filter)));
}

/* The same of all source rows. */
char *
projection_duplicates(const Mapping *m)
{
	return duplicates(m, psprintf("%s WHERE num_nulls(%s) = 0%s", ref_source_rows(m), ref_key_list(m, KEY_OF_SOURCE, NULL), ref_and_condition(m->filter)));
}

/*
 * The rows that have lost their key to another one, as (relation, ctid, key of the one that
 * is moved).  Only what tells them is sorted.  A row with a null in its key has none to lose.
 */
char *
projection_lost_rows(const Mapping *m)
{
	StringInfoData first;
	StringInfoData names;

	initStringInfo(&first);
	initStringInfo(&names);
	for (int i = 0; i < list_length(m->key); i++)
	{
		appendStringInfo(&first, ", first_value(%s%s) OVER migrate_w AS migrate_k%d", ref_key(m, KEY_OF_SOURCE, NULL, i),
						 ref_collation(m, list_nth(m->key, i)), i + 1);
		appendStringInfo(&names, "%s" KEYS_ALIAS ".migrate_k%d", i ? ", " : "", i + 1);
	}
	return psprintf("SELECT migrate_table, migrate_row, %s FROM (SELECT " SOURCE_ALIAS ".tableoid AS migrate_table, " SOURCE_ALIAS ".ctid AS migrate_row, "
					"row_number() OVER migrate_w AS migrate_rank%s FROM %s%s WINDOW migrate_w AS (PARTITION BY %s ORDER BY %s)) AS " KEYS_ALIAS
					" WHERE migrate_rank > 1 AND num_nulls(%s) = 0",
					ref_key_json(m, KEY_OF_SET, KEYS_ALIAS), first.data, ref_source_rows(m), ref_where_condition(m->filter),
					collated_key(m), row_order(m), names.data);
}

/*
 * The images of the rows of a leaf relation at places $1, a tid[], with these: as rows of the
 * source, which is all that a sync sees of them.
 */
char *
projection_images_at(const Mapping *m, Oid leaf)
{
	return psprintf("SELECT " SOURCE_ALIAS ".ctid, to_jsonb((" SOURCE_ALIAS ".*)::%s) FROM ONLY %s AS " SOURCE_ALIAS
					" WHERE " SOURCE_ALIAS ".ctid = ANY ($1)", quote_relation(m->source), quote_relation(leaf));
}
