/*
 * columns.c
 *		Columns by name, and the JSON object of names and SQL expressions that callers give.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/quote.h"
#include "projection/columns.h"

/* Raises for a name in the object that is no column of the relation. */
void
columns_check_names(Jsonb *columns, Oid relid, const char *argument)
{
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken token;

	if (!JB_ROOT_IS_OBJECT(columns))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" must be a JSON object of column names and expressions", argument),
				 errhint("For example {\"id\": \"id\", \"email\": \"lower(email)\"}.")));
	it = JsonbIteratorInit(&columns->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		char	   *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(v.val.string.val, v.val.string.len);
		if (get_attnum(relid, name) <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of relation %s does not exist", name,
							name_relation(relid)),
					 errhint("It is named in \"%s\".", argument)));
	}
}

/* Adds a parsed column to a mapping. */
void
columns_add(Mapping *m, const char *name, const Expression *e)
{
	MappingColumn *c = palloc0(sizeof(MappingColumn));

	c->target = pstrdup(name);
	c->expression = e->sql;
	c->constant = e->constant;
	c->is_set = e->is_set;
	c->map = e->map;
	c->made_of = e->old_key;
	m->columns = lappend(m->columns, c);
	m->whole_row = m->whole_row || e->whole_row;
}

/* Is a column declared NOT NULL? */
bool
column_is_not_null(Oid relid, const char *name)
{
	HeapTuple	tuple = SearchSysCacheAttName(relid, name);
	bool		result = HeapTupleIsValid(tuple) && ((Form_pg_attribute) GETSTRUCT(tuple))->attnotnull;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return result;
}

/* Has a column a default, or is it an identity? */
bool
column_has_default(Oid relid, const char *name)
{
	HeapTuple	tuple = SearchSysCacheAttName(relid, name);
	Form_pg_attribute att = HeapTupleIsValid(tuple) ? (Form_pg_attribute) GETSTRUCT(tuple) : NULL;
	bool		result = att != NULL && (att->atthasdef || att->attidentity != '\0');

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return result;
}

/* The expression given for a column; NULL if there is none. */
char *
columns_find(Jsonb *columns, const char *name, const char *argument)
{
	JsonbValue	buffer;
	JsonbValue *v = getKeyJsonValueFromContainer(&columns->root, name, strlen(name), &buffer);

	if (v == NULL)
		return NULL;
	if (v->type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("expression for column \"%s\" in \"%s\" must be a JSON string", name, argument),
				 errhint("Write SQL, such as \"0\" or \"'new'\".")));
	return pnstrdup(v->val.string.val, v->val.string.len);
}

/* Adds the names that are not there yet. */
List *
columns_add_names(List *names, List *more)
{
	ListCell   *lc;

	foreach(lc, more)
	{
		ListCell   *known;
		bool		found = false;

		foreach(known, names)
			found = found || strcmp(lfirst(known), lfirst(lc)) == 0;
		if (!found)
			names = lappend(names, lfirst(lc));
	}
	return names;
}
