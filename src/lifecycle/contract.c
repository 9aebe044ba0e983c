/*
 * contract.c
 *		The end of a migration in place: the old columns go.
 *
 * Old columns are those that the way back sets.  Where one new column has replaced
 * one old column, each computed from the other alone, it takes over that the old one
 * must not be null: from the cutover on by a CHECK that is validated by a worker,
 * while everybody reads and writes, and at the cleanup by NOT NULL, for which the
 * server needs no look at the rows then.  It may also take over the name.
 */
#include "postgres.h"

#include "catalog/pg_constraint.h"
#include "commands/defrem.h"
#include "lib/stringinfo.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/own_ddl.h"
#include "base/quote.h"
#include "base/setting.h"
#include "base/spi.h"
#include "base/subxact.h"
#include "catalog/mapping.h"
#include "catalog/stashed_object.h"
#include "catalog/swap_step.h"
#include "lifecycle/contract.h"
#include "projection/columns.h"
#include "projection/program.h"

/* What a program computes a column from, and is not the column itself; NULL if it does not compute it. */
static const Bitmapset *
computed_from(const Program *p, AttrNumber attnum)
{
	for (int i = 0; i < p->ncolumns; i++)
	{
		if (p->columns[i].target == attnum && p->columns[i].copied != attnum)
			return p->columns[i].reads;
	}
	return NULL;
}

/* The column that has replaced an old one, each computed from the other alone; 0 if none has. */
static AttrNumber
successor_of(AttrNumber old, const Program *forward, const Bitmapset *reads)
{
	AttrNumber	candidate;
	int			single;

	if (forward == NULL || !bms_get_singleton_member(reads, &single))
		return InvalidAttrNumber;
	candidate = single;
	return bms_get_singleton_member(computed_from(forward, candidate), &single) && single == old ? candidate : InvalidAttrNumber;
}

typedef struct Compilation
{
	const Mapping *m;
	Program    *program;		/* result */
} Compilation;

/* Work for subxact_try. */
static void
work_compile(void *arg)
{
	Compilation *c = arg;

	c->program = program_compile(c->m);
}

/* The program of a mapping; NULL where its table or a column is gone. */
static Program *
compile(const Mapping *m)
{
	Compilation c = {m, NULL};

	return mapping_relation_exists(m->target) && subxact_try(work_compile, &c) == NULL ? c.program : NULL;
}

/* The columns of the old shape of the tables that are migrated in place. */
List *
contract_list_columns(const Migration *g)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, mapping_select(mapping_list(g->id, MAPPING_REVERSE), true))
	{
		Mapping    *back = lfirst(lc);
		Program    *p = compile(back);
		Program    *forward = p != NULL ? compile(mapping_get(back->reverse_of)) : NULL;

		for (int i = 0; p != NULL && i < p->ncolumns; i++)
		{
			OldColumn  *c;

			if (p->columns[i].copied == p->columns[i].target)
				continue;
			c = palloc0(sizeof(OldColumn));
			c->relation = back->target;
			c->attnum = p->columns[i].target;
			c->successor = successor_of(c->attnum, forward, p->columns[i].reads);
			result = lappend(result, c);
		}
	}
	return result;
}

/* "table.column" for messages. */
char *
contract_name(const OldColumn *c)
{
	return psprintf("%s.%s", name_relation(c->relation), quote_identifier(get_attname(c->relation, c->attnum, false)));
}

/* The steps of a cutover that see to it that new columns are not null where old ones must not be. */
List *
contract_steps(const Migration *g)
{
	List	   *steps = NIL;
	ListCell   *lc;

	foreach(lc, setting_bool(g->settings, "carry_not_null") ? contract_list_columns(g) : NIL)
	{
		OldColumn  *c = lfirst(lc);
		SwapStep   *step;
		char	   *relation;
		char	   *name;

		if (c->successor == InvalidAttrNumber || !column_is_not_null(c->relation, get_attname(c->relation, c->attnum, false)))
			continue;
		name = get_attname(c->relation, c->successor, false);
		if (column_is_not_null(c->relation, name))
			continue;
		relation = quote_relation(c->relation);
		step = palloc0(sizeof(SwapStep));
		step->stage = SWAP_AFTER;
		step->kind = "not null";
		step->relation = c->relation;
		step->name = ChooseConstraintName(get_rel_name(c->relation), name, "not_null", get_rel_namespace(c->relation), NIL);
		step->subject = psprintf("%s.%s", relation, quote_identifier(name));
		step->statement = psprintf("ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s IS NOT NULL) NOT VALID", relation,
								   quote_identifier(step->name), quote_identifier(name));
		step->undo = psprintf("ALTER TABLE %s DROP CONSTRAINT IF EXISTS %s", relation, quote_identifier(step->name));
		steps = lappend(steps, step);
	}
	return steps;
}

/* A text that a query over a table and a column returns, or NULL. */
static char *
ask(const OldColumn *c, const char *sql)
{
	SpiScope	scope;
	char	   *result;

	spi_open_catalog(&scope);
	spi_run(sql, SPI_ARGS(spi_oid(OIDOID, c->relation), spi_int4(c->attnum)));
	result = spi_get_text(&scope, 0, 1);
	spi_close(&scope);
	return result;
}

#define DEPENDING(deptypes) \
	"SELECT string_agg(DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid), ', ') FROM pg_depend d " \
	"WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.refobjsubid = $2 AND d.deptype IN (" deptypes ") "

/* What keeps an old column from being dropped; NULL if nothing does. */
char *
contract_find_dependents(const OldColumn *c)
{
	return ask(c, DEPENDING("'n'")
			   "AND NOT EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE d.classid = 'pg_trigger'::regclass "
			   "AND t.oid = d.objid AND p.pronamespace = 'migrate_ext'::regnamespace) "
			   "AND NOT EXISTS (SELECT FROM pg_constraint k WHERE d.classid = 'pg_constraint'::regclass AND k.oid = d.objid AND k.conrelid = $1)");
}

/* What goes with an old column when it is dropped; NULL if nothing does. */
char *
contract_goes_along(const OldColumn *c)
{
	/* NOT NULL is a constraint of a name from server 18 on */
	return ask(c, DEPENDING("'a', 'i'") "AND NOT (d.classid = 'pg_class'::regclass AND d.objid = $1) "
			   "AND NOT EXISTS (SELECT FROM pg_constraint k WHERE d.classid = 'pg_constraint'::regclass AND k.oid = d.objid AND k.contype = 'n')");
}

/*
 * Turns the checks that the cutover added into NOT NULL, where they are validated.  Others stay
 * for what is written, if the DBA wants the end nevertheless.
 */
static void
finish_checks(const Migration *g)
{
	ListCell   *lc;

	foreach(lc, swap_step_list(g->id))
	{
		SwapStep   *step = lfirst(lc);
		SpiScope	scope;

		if (strcmp(step->kind, "not null") != 0 || !mapping_relation_exists(step->relation))
			continue;
		spi_open_catalog(&scope);
		if (spi_run("SELECT format('ALTER TABLE %s ALTER %I SET NOT NULL', $1::regclass, attname) FROM pg_constraint "
					"JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1] "
					"WHERE conrelid = $1 AND conname = $2 AND contype = 'c' AND convalidated",
					SPI_ARGS(spi_oid(OIDOID, step->relation), spi_text(step->name))) > 0)
		{
			char	   *statement = spi_get_text(&scope, 0, 1);

			spi_run(statement, SPI_NO_ARGS);
			spi_run(step->undo, SPI_NO_ARGS);
		}
		spi_close(&scope);
		stashed_object_forget(g->id, step->relation, step->name);
	}
}

static void
alter(const OldColumn *c, const char *change)
{
	SpiScope	scope;

	spi_open_catalog(&scope);
	spi_run(psprintf("ALTER TABLE %s %s", quote_relation(c->relation), change), SPI_NO_ARGS);
	spi_close(&scope);
}

/* A name for a column that says what it was. */
static char *
archived_name(const OldColumn *c, const char *name)
{
	for (int i = 0;; i++)
	{
		char	   *result = makeObjectName(name, NULL, i == 0 ? "archived" : psprintf("archived%d", i));

		if (get_attnum(c->relation, result) == InvalidAttrNumber)
			return result;
	}
}

/* Drops an old column, or lets rows do without it; where its name is free then, the successor may take it. */
static void
retire_column(const OldColumn *c, const char *way, bool take_names)
{
	char	   *name = get_attname(c->relation, c->attnum, false);
	char	   *quoted = pstrdup(quote_identifier(name));

	if (strcmp(way, "drop") == 0)
		alter(c, psprintf("DROP COLUMN %s", quoted));
	else if (column_is_not_null(c->relation, name) && !column_has_default(c->relation, name))
		alter(c, psprintf("ALTER %s DROP NOT NULL", quoted));
	if (strcmp(way, "archive") == 0)
		alter(c, psprintf("RENAME %s TO %s", quoted, quote_identifier(archived_name(c, name))));
	if (take_names && c->successor != InvalidAttrNumber && strcmp(way, "keep") != 0)
		alter(c, psprintf("RENAME %s TO %s", quote_identifier(get_attname(c->relation, c->successor, false)), quoted));
}

typedef struct Contraction
{
	const Migration *g;
	const char *way;
	List	   *columns;
} Contraction;

/* Work for own_ddl_run. */
static void
work_finish(void *arg)
{
	Contraction *contraction = arg;
	ListCell   *lc;

	finish_checks(contraction->g);
	foreach(lc, contraction->columns)
		retire_column(lfirst(lc), contraction->way, setting_bool(contraction->g->settings, "rename_columns"));
}

/*
 * The old columns are dropped, archived or kept; returns their names.  Kept or
 * archived, they need no value any more: nobody sets them.  The caller has locked the tables.
 */
char *
contract_finish(const Migration *g, const char *way)
{
	Contraction contraction = {g, way, contract_list_columns(g)};
	StringInfoData names;
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, contraction.columns)
		appendStringInfo(&names, "%s%s", names.len ? ", " : "", contract_name(lfirst(lc)));
	own_ddl_run(work_finish, &contraction);
	return names.data;
}
