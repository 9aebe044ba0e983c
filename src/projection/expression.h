/*
 * expression.h
 *		Parsing and checking of the SQL expressions of a mapping.
 */
#ifndef MIGRATE_EXPRESSION_H
#define MIGRATE_EXPRESSION_H

#include "postgres.h"
#include "access/attnum.h"
#include "nodes/pg_list.h"
#include "nodes/primnodes.h"

/* Aliases under which generated SQL knows the two rows. */
#define SOURCE_ALIAS	"src"
#define TARGET_ALIAS	"migrate_t"

typedef struct Expression
{
	char	   *sql;			/* over alias src, every name qualified */
	bool		whole_row;		/* uses the source row as a value */
	AttrNumber	column;			/* the source column it copies, or 0 */
	bool		constant;		/* the same for every row */
	bool		is_set;			/* gives several values for one row, or none */
	int64		map;			/* the mapping whose new key it is, for an old one of plain columns, or 0 */
	List	   *old_key;		/* of char *: these columns */
} Expression;

extern bool expression_names_lookup(const char *text);
extern Expression *expression_for_column(const char *text, Oid source, Oid target, AttrNumber attnum, int64 mapping_id, List **names);
extern Expression *expression_for_condition(const char *text, const char *what, Oid relid);
extern void expression_for_order(const char *text, const char *what, Oid relid, List **expressions, List **directions);
extern char *expression_condition_over_target(const char *text, Oid relid);
extern AttrNumber expression_copied(const char *sql, Oid source);
extern Expr *expression_tree(const char *sql, Oid source, Oid target, AttrNumber attnum);
extern Node *expression_read(const char *sql, Oid relid, const char *alias);
extern char *expression_write(Node *tree, Oid relid, const char *alias);
extern bool expression_calls_user_code(Expr *tree);

#endif							/* MIGRATE_EXPRESSION_H */
