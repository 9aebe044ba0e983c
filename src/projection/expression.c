/*
 * expression.c
 *		Parsing and checking of the SQL expressions of a mapping.
 *
 * An expression is parsed once, when the mapping is made, with the rights and
 * the search_path of the caller, and kept as the text that the server deparses
 * from the analyzed tree: every name in it is qualified, every operator
 * resolved, and nothing of what the caller typed goes into generated SQL.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_node.h"
#include "parser/parse_oper.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

#include "base/quote.h"
#include "projection/expression.h"

#define PREFIX "SELECT "
#define ORDER_PREFIX "SELECT ORDER BY "

/* What the error context callback needs. */
typedef struct ParseContext
{
	const char *text;
	const char *what;
	int			prefix;			/* length of what stands before the text */
} ParseContext;

/* Lets an error's position point into the expression as the user wrote it. */
static void
point_into_expression(void *arg)
{
	ParseContext *context = arg;
	int			position = geterrposition();

	if (position > context->prefix)
	{
		errposition(0);
		internalerrposition(position - context->prefix);
		internalerrquery(context->text);
	}
	errcontext("expression of %s: %s", context->what, context->text);
}

/* Parses the text as one expression, and as nothing else. */
static Node *
parse_one(const char *sql)
{
	List	   *parsed = raw_parser(sql, RAW_PARSE_DEFAULT);
	SelectStmt *select;
	ResTarget  *target;

	if (list_length(parsed) != 1 || !IsA(linitial_node(RawStmt, parsed)->stmt, SelectStmt))
		goto bad;
	select = (SelectStmt *) linitial_node(RawStmt, parsed)->stmt;
	if (select->op != SETOP_NONE || list_length(select->targetList) != 1 ||
		select->distinctClause || select->intoClause || select->fromClause ||
		select->whereClause || select->groupClause || select->havingClause ||
		select->windowClause || select->valuesLists || select->sortClause ||
		select->limitOffset || select->limitCount || select->lockingClause ||
		select->withClause)
		goto bad;
	target = linitial_node(ResTarget, select->targetList);
	if (target->name != NULL || target->indirection != NIL)
		goto bad;
	if (IsA(target->val, ColumnRef) && IsA(llast(((ColumnRef *) target->val)->fields), A_Star))
		goto bad;
	return target->val;

bad:
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("not a single SQL expression"),
			 errhint("Write one expression over the source row, such as lower(email).")));
}

/* Does the expression depend on when, or by whom, it is run? */
static bool
depends_on_moment(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SQLValueFunction))
		return true;
	if (IsA(node, FuncExpr))
	{
		switch (((FuncExpr *) node)->funcid)
		{
			case F_NOW:
			case F_TRANSACTION_TIMESTAMP:
			case F_STATEMENT_TIMESTAMP:
			case F_CURRENT_SETTING_TEXT:
			case F_CURRENT_SETTING_TEXT_BOOL:
				return true;
			default:
				break;
		}
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, depends_on_moment, context, 0);
	return expression_tree_walker(node, depends_on_moment, context);
}

/* Does the expression use the row itself (of the outermost level)? */
static bool
uses_whole_row(Node *node, void *context)
{
	int			level = *(int *) context;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varattno == InvalidAttrNumber &&
			(int) ((Var *) node)->varlevelsup == level;
	if (IsA(node, Query))
	{
		int			deeper = level + 1;

		return query_tree_walker((Query *) node, uses_whole_row, &deeper, 0);
	}
	return expression_tree_walker(node, uses_whole_row, context);
}

/* Does the expression use a system column, such as ctid, of the row? */
static bool
uses_system_column(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varattno < 0;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, uses_system_column, context, 0);
	return expression_tree_walker(node, uses_system_column, context);
}

/* Refuses what would not give the same result each time it is evaluated. */
static void
check_repeatable(ParseState *pstate, Node *expr, bool may_be_set)
{
	if (pstate->p_hasAggs || pstate->p_hasWindowFuncs)
		ereport(ERROR,
				(errcode(ERRCODE_GROUPING_ERROR),
				 errmsg("%s are not allowed in a mapping's expression",
						pstate->p_hasAggs ? "aggregate functions" : "window functions"),
				 errhint("An expression is evaluated for one source row at a time.")));
	if (pstate->p_hasTargetSRFs && !may_be_set)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-returning functions are not allowed in a condition or an order"),
				 errhint("The expression of a column may give several values for one source row.")));
	if (contain_volatile_functions(expr) || depends_on_moment(expr, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("expression must give the same result whenever it is evaluated"),
				 errdetail("It contains a volatile function, the current time, a setting or the current user."),
				 errhint("Leave the column out so that it takes its default, or derive the value from the source row.")));
	if (uses_system_column(expr, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("system columns are not allowed in a mapping's expression"),
				 errhint("They belong to the stored row, and change when it moves.")));
}

/*
 * Deparses with every name qualified, whatever the caller's search_path is.  The
 * server compares the names of all columns with each other first, which a table of
 * 1,600 columns would pay for 1,600 times: a column by itself is written down at once, and
 * the names are made ready once, in *names, for all expressions of a caller who keeps them.
 */
static char *
deparse_qualified(Node *expr, Oid relid, const char *alias, List **names)
{
	List	   *once = NIL;
	int			level;
	char	   *sql;

	if (IsA(expr, Var) && ((Var *) expr)->varattno > 0)
		return psprintf("%s.%s", quote_identifier(alias), quote_identifier(get_attname(relid, ((Var *) expr)->varattno, false)));
	level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	names = names != NULL ? names : &once;
	if (*names == NIL)
		*names = deparse_context_for(alias, relid);
	sql = deparse_expression(expr, *names, true, false);
	AtEOXact_GUC(true, level);
	return sql;
}

/* Makes a parse state in which the relation's row is known by an alias. */
static ParseState *
make_state(const char *sql, Relation rel, const char *alias)
{
	ParseState *pstate = make_parsestate(NULL);
	ParseNamespaceItem *item;

	pstate->p_sourcetext = sql;
	item = addRangeTableEntryForRelation(pstate, rel, AccessShareLock,
										 makeAlias(alias, NIL), true, true);
	addNSItemToQuery(pstate, item, true, true, true);
	return pstate;
}

/* Coerces a column's expression as an assignment to the column would. */
static Node *
coerce_for_assignment(ParseState *pstate, Node *expr, Oid target, AttrNumber attnum)
{
	Oid			type;
	int32		typmod;
	Oid			collation;
	Node	   *coerced;

	get_atttypetypmodcoll(target, attnum, &type, &typmod, &collation);
	coerced = coerce_to_target_type(pstate, expr, exprType(expr), type, typmod,
									COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (coerced == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" is of type %s but expression is of type %s",
						get_attname(target, attnum, false), format_type_be(type),
						format_type_be(exprType(expr))),
				 errhint("Rewrite or cast the expression."),
				 parser_errposition(pstate, exprLocation(expr))));
	return coerced;
}

#define LOOKUP "migrate_lookup"

/* May a text call migrate_lookup? */
bool
expression_names_lookup(const char *text)
{
	return strstr(text, LOOKUP) != NULL;
}

/* Is it a call of the extension's migrate_lookup? */
static bool
is_lookup(Node *node)
{
	Oid			funcid = node != NULL && IsA(node, FuncExpr) ? ((FuncExpr *) node)->funcid : InvalidOid;
	char	   *name = funcid >= FirstNormalObjectId ? get_func_name(funcid) : NULL;

	return name != NULL && strcmp(name, LOOKUP) == 0 &&
		getExtensionOfObject(ProcedureRelationId, funcid) == get_extension_oid("migrate_ext", true);
}

/* Lets a call of migrate_lookup without a mapping mean one. */
static Node *
bind_lookups(Node *node, void *context)
{
	int64		mapping_id = *(int64 *) context;

	if (node == NULL)
		return NULL;
	if (is_lookup(node))
	{
		FuncExpr   *call = copyObject((FuncExpr *) node);
		Node	   *mapping = lsecond(call->args);

		if (IsA(mapping, Const) && ((Const *) mapping)->constisnull)
			lsecond(call->args) = makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(mapping_id), false, FLOAT8PASSBYVAL);
		return (Node *) call;
	}
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, bind_lookups, context, 0);
	return expression_tree_mutator(node, bind_lookups, context);
}

/* Fills in the columns of the old key, if an expression is nothing but the new key that a mapping gives it. */
static void
note_old_key(Expression *e, Node *node, Oid relid)
{
	List	   *names = NIL;
	List	   *args;
	Node	   *mapping;

	if (node != NULL && IsA(node, CoerceViaIO))
		node = (Node *) ((CoerceViaIO *) node)->arg;
	if (!is_lookup(node))
		return;
	args = ((FuncExpr *) node)->args;
	mapping = eval_const_expressions(NULL, lsecond(args));
	if (!IsA(mapping, Const) || ((Const *) mapping)->constisnull)
		return;
	for (int i = 2; i < list_length(args); i++)
	{
		Var		   *var = list_nth(args, i);

		if (!IsA(var, Var) || var->varattno <= 0)
			return;
		names = lappend(names, get_attname(relid, var->varattno, false));
	}
	e->map = DatumGetInt64(((Const *) mapping)->constvalue);
	e->old_key = names;
}

/* A new key is given as text: it becomes a value of the column's type. */
static Node *
coerce_lookup(ParseState *pstate, Node *expr, Oid target, AttrNumber attnum)
{
	Oid			type = get_atttype(target, attnum);
	Node	   *coerced = coerce_to_target_type(pstate, expr, TEXTOID, type, -1, COERCION_EXPLICIT, COERCE_EXPLICIT_CAST, -1);

	return coerced != NULL ? coerced : expr;
}

/*
 * Parsing shows all columns of the relation to the parser.  What it leaves goes with the
 * context: a table of 1,600 columns has as many expressions, and a session may keep the trees.
 */
static MemoryContext
begin_parsing(void)
{
	return MemoryContextSwitchTo(AllocSetContextCreate(CurrentMemoryContext, "migrate_ext expression", ALLOCSET_DEFAULT_SIZES));
}

/* The tree, in the context that was left at the beginning. */
static Node *
end_parsing(MemoryContext old, Node *tree)
{
	MemoryContext parsing = MemoryContextSwitchTo(old);

	tree = copyObject(tree);
	MemoryContextDelete(parsing);
	return tree;
}

/* Parses, checks and deparses; attnum 0 means a condition. */
static Expression *
analyze(const char *text, const char *what, Oid relid, Oid target, AttrNumber attnum,
		const char *alias, int64 mapping_id, List **names)
{
	ParseContext context = {text, what, strlen(PREFIX)};
	ErrorContextCallback callback;
	char	   *sql = psprintf(PREFIX "%s", text);
	Relation	rel = relation_open(relid, AccessShareLock);
	Expression *result = palloc0(sizeof(Expression));
	MemoryContext caller = begin_parsing();
	ParseState *pstate = make_state(sql, rel, SOURCE_ALIAS);
	MemoryContext parsing = CurrentMemoryContext;
	Node	   *expr;
	Node	   *coerced;
	int			level = 0;

	callback.callback = point_into_expression;
	callback.arg = &context;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	expr = transformExpr(pstate, parse_one(sql), EXPR_KIND_SELECT_TARGET);
	if (mapping_id != 0)
		expr = bind_lookups(expr, &mapping_id);
	MemoryContextSwitchTo(caller);
	note_old_key(result, expr, relid);
	MemoryContextSwitchTo(parsing);
	if (attnum != InvalidAttrNumber && is_lookup(expr))
		expr = coerce_lookup(pstate, expr, target, attnum);
	if (attnum != InvalidAttrNumber)
	{
		/* an untyped literal takes the column's type now; the rest stays as written */
		coerced = coerce_for_assignment(pstate, expr, target, attnum);
		if (exprType(expr) == UNKNOWNOID)
			expr = coerced;
	}
	else
		expr = coerce_to_boolean(pstate, expr, "a condition");
	assign_expr_collations(pstate, expr);
	check_repeatable(pstate, expr, attnum != InvalidAttrNumber);
	free_parsestate(pstate);
	expr = end_parsing(caller, expr);

	result->is_set = expression_returns_set(expr);
	result->sql = deparse_qualified(expr, relid, alias, names);
	result->whole_row = uses_whole_row(expr, &level);
	if (IsA(expr, Var))
		result->column = ((Var *) expr)->varattno;
	result->constant = !result->is_set && IsA(eval_const_expressions(NULL, expr), Const);

	error_context_stack = callback.previous;
	relation_close(rel, NoLock);
	return result;
}

/*
 * Parses the expression for a target column of a mapping (0: of none); raises if it cannot be assigned.
 * *names, NIL at first, is kept from one expression over a source to the next.
 */
Expression *
expression_for_column(const char *text, Oid source, Oid target, AttrNumber attnum, int64 mapping_id, List **names)
{
	return analyze(text, psprintf("column \"%s\"", get_attname(target, attnum, false)),
				   source, target, attnum, SOURCE_ALIAS, mapping_id, names);
}

/* Parses a condition over the row of a relation; what names it in messages. */
Expression *
expression_for_condition(const char *text, const char *what, Oid relid)
{
	return analyze(text, what, relid, InvalidOid, InvalidAttrNumber, SOURCE_ALIAS, 0, NULL);
}

/* The same condition, written over a target row of the relation. */
char *
expression_condition_over_target(const char *text, Oid relid)
{
	return analyze(text, "scope", relid, InvalidOid, InvalidAttrNumber, TARGET_ALIAS, 0, NULL)->sql;
}

/* Parses the text as a list of what to order by, and as nothing else. */
static List *
parse_order(const char *sql)
{
	List	   *parsed = raw_parser(sql, RAW_PARSE_DEFAULT);
	SelectStmt *select = list_length(parsed) == 1 ? (SelectStmt *) linitial_node(RawStmt, parsed)->stmt : NULL;

	if (select == NULL || !IsA(select, SelectStmt) || select->op != SETOP_NONE || select->sortClause == NIL ||
		select->limitOffset || select->limitCount || select->lockingClause)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("not a list of expressions to order by"),
				 errhint("Write what would stand behind ORDER BY, such as updated_at DESC, id.")));
	return select->sortClause;
}

/* The direction of an item, as written, with the place of nulls. */
static const char *
order_direction(const SortBy *item)
{
	bool		descending = item->sortby_dir == SORTBY_DESC;
	bool		nulls_first = item->sortby_nulls == SORTBY_NULLS_DEFAULT ? descending : item->sortby_nulls == SORTBY_NULLS_FIRST;

	if (item->sortby_dir == SORTBY_USING)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("an operator cannot be used to order duplicates"),
				 errhint("Write ASC or DESC.")));
	return psprintf("%s NULLS %s", descending ? "DESC" : "ASC", nulls_first ? "FIRST" : "LAST");
}

/* Parses, checks and deparses one item to order by. */
static char *
analyze_order_item(ParseState *pstate, Node *node, Oid relid)
{
	Node	   *expr = transformExpr(pstate, node, EXPR_KIND_SELECT_TARGET);
	Oid			less;

	if (IsA(expr, Const))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("a constant orders nothing"),
				 errhint("Name columns of the source row, not their positions.")));
	assign_expr_collations(pstate, expr);
	check_repeatable(pstate, expr, false);
	get_sort_group_operators(exprType(expr), true, false, false, &less, NULL, NULL, NULL);
	return deparse_qualified(expr, relid, SOURCE_ALIAS, NULL);
}

/*
 * Parses a list as behind ORDER BY over the row of a relation: the expressions and
 * their directions.
 */
void
expression_for_order(const char *text, const char *what, Oid relid, List **expressions, List **directions)
{
	char	   *sql = psprintf(ORDER_PREFIX "%s", text);
	ParseContext context = {text, what, strlen(ORDER_PREFIX)};
	ErrorContextCallback callback = {error_context_stack, point_into_expression, &context};
	Relation	rel = relation_open(relid, AccessShareLock);
	ParseState *pstate = make_state(sql, rel, SOURCE_ALIAS);
	ListCell   *lc;

	error_context_stack = &callback;
	*expressions = NIL;
	*directions = NIL;
	foreach(lc, parse_order(sql))
	{
		SortBy	   *item = lfirst_node(SortBy, lc);


		*expressions = lappend(*expressions, analyze_order_item(pstate, item->node, relid));
		*directions = lappend(*directions, (void *) order_direction(item));
	}
	error_context_stack = callback.previous;
	free_parsestate(pstate);
	relation_close(rel, NoLock);
}

/* A name as it was before it was quoted. */
static char *
unquote(const char *quoted)
{
	char	   *name = palloc(strlen(quoted) + 1);
	char	   *to = name;

	for (const char *from = quoted + 1; *from != '\0' && from[1] != '\0'; from++)
	{
		*to++ = *from;
		from += from[0] == '"' && from[1] == '"' ? 1 : 0;
	}
	*to = '\0';
	return name;
}

/* The column of the source that a stored expression is, by itself; 0 if it is something else. */
AttrNumber
expression_copied(const char *sql, Oid source)
{
	const char *quoted = sql + strlen(SOURCE_ALIAS ".");
	const char *name;
	AttrNumber	attnum;

	if (strncmp(sql, SOURCE_ALIAS ".", strlen(SOURCE_ALIAS ".")) != 0)
		return InvalidAttrNumber;
	name = quoted[0] == '"' ? unquote(quoted) : quoted;
	attnum = get_attnum(source, name);
	return attnum > 0 && strcmp(quote_identifier(name), quoted) == 0 ? attnum : InvalidAttrNumber;
}

/*
 * Reads a stored expression; *pstate is for errors.  A column by itself takes no
 * parser, to which all columns of the source would have to be shown: a
 * wide table has as many expressions.
 */
static Node *
read_stored(const char *sql, Oid source, ParseState **pstate)
{
	AttrNumber	attnum = expression_copied(sql, source);
	Relation	rel;
	Node	   *expr;

	if (attnum != InvalidAttrNumber)
	{
		Oid			type;
		int32		typmod;
		Oid			collation;

		*pstate = make_parsestate(NULL);
		get_atttypetypmodcoll(source, attnum, &type, &typmod, &collation);
		return (Node *) makeVar(1, attnum, type, typmod, collation, 0);
	}
	rel = relation_open(source, AccessShareLock);
	sql = psprintf(PREFIX "%s", sql);
	*pstate = make_state(sql, rel, SOURCE_ALIAS);
	expr = transformExpr(*pstate, parse_one(sql), EXPR_KIND_SELECT_TARGET);
	relation_close(rel, NoLock);
	return expr;
}

/*
 * A stored expression as a tree to evaluate over a row of the source, coerced
 * as an assignment to the target's column; attnum 0 means a condition.  Not yet
 * planned: what the planner inlines is still to be seen.
 */
Expr *
expression_tree(const char *sql, Oid source, Oid target, AttrNumber attnum)
{
	MemoryContext caller = begin_parsing();
	ParseState *pstate;
	Node	   *expr = read_stored(sql, source, &pstate);

	if (attnum != InvalidAttrNumber)
		expr = coerce_for_assignment(pstate, expr, target, attnum);
	else
		expr = coerce_to_boolean(pstate, expr, "a condition");
	assign_expr_collations(pstate, expr);
	free_parsestate(pstate);
	return (Expr *) end_parsing(caller, expr);
}

/* A stored expression over the row of a relation, known by the alias, as a tree to be written again. */
Node *
expression_read(const char *sql, Oid relid, const char *alias)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	char	   *text = psprintf(PREFIX "%s", sql);
	ParseState *pstate = make_state(text, rel, alias);
	Node	   *expr = transformExpr(pstate, parse_one(text), EXPR_KIND_SELECT_TARGET);

	assign_expr_collations(pstate, expr);
	free_parsestate(pstate);
	relation_close(rel, NoLock);
	return expr;
}

/* Its text, with the names that are in force now. */
char *
expression_write(Node *tree, Oid relid, const char *alias)
{
	return deparse_qualified(tree, relid, alias, NULL);
}

static bool
is_user_function(Oid funcid, void *context)
{
	return funcid >= FirstNormalObjectId;
}

static bool
uses_user_function(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return IsA(node, CoerceToDomain) || check_functions_in_node(node, is_user_function, context) ||
		expression_tree_walker(node, uses_user_function, context);
}

/* Does the tree call code that is not the server's own (a domain's checks may)? */
bool
expression_calls_user_code(Expr *tree)
{
	return uses_user_function((Node *) tree, NULL);
}
