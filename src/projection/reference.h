/*
 * reference.h
 *		How generated SQL refers to rows, keys and columns of a mapping.
 */
#ifndef MIGRATE_REFERENCE_H
#define MIGRATE_REFERENCE_H

#include "postgres.h"
#include "access/attnum.h"
#include "catalog/mapping.h"

#define KEYS_ALIAS "migrate_d"
#define SET_ALIAS "migrate_e"

/* More arguments than this do not fit into a function call, with some to spare: use a row. */
#define REF_MAX_ARGUMENTS 90

/* How a key that travels names what stands for it where rows have none, as a literal. */
#define REF_ROW_KEY "'row'"

/*
 * How a statement names key column i of its three kinds of rows: by
 * expression over src, as a column of migrate_t, as a column of migrate_d or
 * another alias with columns migrate_k<i>.
 */
typedef enum KeyForm
{
	KEY_OF_SOURCE,
	KEY_OF_TARGET,
	KEY_OF_SET
} KeyForm;

extern AttrNumber ref_target_attnum(const Mapping *m, const char *name);
extern char *ref_target_type(const Mapping *m, const char *name);
extern bool	ref_is_key(const Mapping *m, const char *name);
extern bool ref_is_multiset(const Mapping *m);
extern int	ref_key_length(const Mapping *m);
extern char *ref_key_operator(const Mapping *m, const char *name);
extern const char *ref_collation(const Mapping *m, const char *name);
extern char *ref_cast_expression(const Mapping *m, const char *name);
extern char *ref_key(const Mapping *m, KeyForm form, const char *alias, int i);
extern bool ref_may_be_null(const Mapping *m, KeyForm form, int i);
extern char *ref_key_operand(const Mapping *m, KeyForm form, const char *alias, int i);
extern char *ref_keys_equal(const Mapping *m, KeyForm left, const char *left_alias,
		   KeyForm right, const char *right_alias);
extern char *ref_key_json(const Mapping *m, KeyForm form, const char *alias);
extern char *ref_key_list(const Mapping *m, KeyForm form, const char *alias);
extern char *ref_key_set(const Mapping *m);
extern char *ref_one_key(const Mapping *m);
extern const char *ref_and_condition(const char *condition);
extern const char *ref_where_condition(const char *condition);
extern char *ref_transition_rows(const Mapping *m, const char *table);
extern bool ref_expands(const Mapping *m);
extern char *ref_expression(const Mapping *m, const MappingColumn *c);
extern char *ref_expanded_rows(const Mapping *m, const char *rows);
extern char *ref_unexpanded_rows(const Mapping *m);
extern char *ref_sampled_rows(const Mapping *m, double percent, bool repeatable);
extern char *ref_source_rows(const Mapping *m);
extern bool ref_dedupes(const Mapping *m);
extern char *ref_moved_rows(const Mapping *m, const char *rows);
extern char *ref_projected_keys(const Mapping *m, const char *rows, const char *filter, const char *alias);
extern char *ref_transition_key_set(const Mapping *m, const char *table, const char *alias);
extern int	ref_column_number(const Mapping *m, const char *name);
extern char *ref_column_list(const Mapping *m, const char *prefix);
extern char *ref_key_columns(const Mapping *m);
extern char *ref_expression_list(const Mapping *m, bool named);

#endif							/* MIGRATE_REFERENCE_H */
