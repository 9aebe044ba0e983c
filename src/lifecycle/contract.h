/*
 * contract.h
 *		The end of a migration in place: the old columns go.
 */
#ifndef MIGRATE_CONTRACT_H
#define MIGRATE_CONTRACT_H

#include "postgres.h"
#include "access/attnum.h"
#include "catalog/migration.h"
#include "nodes/pg_list.h"

/* A column of the old shape of a table that is migrated in place. */
typedef struct OldColumn
{
	Oid			relation;
	AttrNumber	attnum;
	AttrNumber	successor;		/* the one column that has replaced it alone, or 0 */
} OldColumn;

extern List *contract_list_columns(const Migration *g);
extern List *contract_steps(const Migration *g);
extern char *contract_name(const OldColumn *c);
extern char *contract_find_dependents(const OldColumn *c);
extern char *contract_goes_along(const OldColumn *c);
extern char *contract_finish(const Migration *g, const char *way);

#endif							/* MIGRATE_CONTRACT_H */
