/*
 * mapping_rule.h
 *		Rows of migrate_ext.mapping_rule.
 */
#ifndef MIGRATE_MAPPING_RULE_H
#define MIGRATE_MAPPING_RULE_H

#include "postgres.h"
#include "nodes/pg_list.h"

typedef struct MappingRule
{
	char	   *name;
	char	   *condition;		/* over the source row */
	char	   *scope;			/* the same, over that row as a target */
	char	   *action;			/* reject or flag */
	bool		whole_row;
} MappingRule;

extern int64 mapping_rule_insert(int64 mapping_id, const MappingRule *rule);
extern List *mapping_rule_list(int64 mapping_id);

#endif							/* MIGRATE_MAPPING_RULE_H */
