/*
 * aggregate.c
 *		The statement that compares aggregates of the two sides of a mapping.
 *
 * Values are aggregated in a form that depends on nothing but them: numbers are
 * summed up as numeric, since sums of floats depend on the order of the rows; what
 * is neither a number nor a time has its minimum and maximum as text, by bytes.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/quote.h"
#include "projection/projection.h"
#include "projection/reference.h"

static const char *const measures[] = {"nulls", "min", "max", "sum"};

/* Has the type a sum? */
static bool
is_number(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID || type == NUMERICOID || type == FLOAT4OID || type == FLOAT8OID;
}

/* Has the type a minimum of its own? */
static bool
is_ordered(Oid type)
{
	return is_number(type) || type == DATEOID || type == TIMEOID || type == TIMETZOID || type == TIMESTAMPOID ||
		type == TIMESTAMPTZOID || type == INTERVALOID || type == MONEYOID;
}

/* The measures of column i, as an array of texts. */
static void
append_measures(StringInfo buf, const Mapping *m, int i)
{
	const MappingColumn *c = list_nth(m->columns, i);
	Oid			type = getBaseType(get_atttype(m->target, ref_target_attnum(m, c->target)));
	char	   *value = psprintf("migrate_c%d", i + 1);

	appendStringInfo(buf, ", ARRAY[(count(*) - count(%s))::text", value);
	if (is_ordered(type))
		appendStringInfo(buf, ", min(%s)::text, max(%s)::text", value, value);
	else
		appendStringInfo(buf, ", min(%s::text COLLATE \"C\"), max(%s::text COLLATE \"C\")", value, value);
	if (is_number(type))
		appendStringInfo(buf, ", sum(%s::numeric)::text", value);
	appendStringInfo(buf, "] AS migrate_a%d", i + 1);
}

/* A side: a row for each group, or one. */
static char *
side(const Mapping *m, List *group_by, const char *rows)
{
	StringInfoData buf;
	StringInfoData group;
	ListCell   *lc;

	initStringInfo(&buf);
	initStringInfo(&group);
	foreach(lc, group_by)
		appendStringInfo(&group, "%s%s, migrate_c%d::text", group.len > 0 ? ", " : "", quote_literal_cstr(lfirst(lc)),
						 ref_column_number(m, lfirst(lc)));
	appendStringInfo(&buf, "(SELECT jsonb_build_object(%s) AS migrate_g, count(*)::text AS migrate_n", group.data);
	for (int i = 0; i < list_length(m->columns); i++)
		append_measures(&buf, m, i);
	appendStringInfo(&buf, " FROM (%s) AS migrate_x%s)", rows, group_by != NIL ? " GROUP BY 1" : "");
	return buf.data;
}

/*
 * Compare: counts, nulls, minima, maxima and sums of both sides, as (group, column, measure,
 * value of the source, value of the target, are they the same), a row each.
 */
char *
projection_compare_aggregates(const Mapping *m, List *group_by)
{
	StringInfoData buf;
	ListCell   *lc;
	int			i = 0;

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT coalesce(s.migrate_g, t.migrate_g), v.migrate_column, v.migrate_measure, v.migrate_s, v.migrate_t, "
					 "v.migrate_s IS NOT DISTINCT FROM v.migrate_t FROM %s AS s FULL JOIN %s AS t ON s.migrate_g = t.migrate_g, "
					 "LATERAL (VALUES (0, NULL, 'rows', coalesce(s.migrate_n, '0'), coalesce(t.migrate_n, '0'))",
					 side(m, group_by, projection_source_columns(m)), side(m, group_by, projection_target_columns(m)));
	foreach(lc, m->columns)
	{
		const MappingColumn *c = lfirst(lc);
		Oid			type = getBaseType(get_atttype(m->target, ref_target_attnum(m, c->target)));

		i++;
		for (int k = 0; k < (is_number(type) ? lengthof(measures) : lengthof(measures) - 1); k++)
			appendStringInfo(&buf, ", (%d, %s, '%s', s.migrate_a%d[%d], t.migrate_a%d[%d])", i, quote_literal_cstr(c->target),
							 measures[k], i, k + 1, i, k + 1);
	}
	appendStringInfoString(&buf, ") AS v(migrate_o, migrate_column, migrate_measure, migrate_s, migrate_t) ORDER BY 1, v.migrate_o");
	return buf.data;
}
