/*
 * identity.c
 *		Who runs a statement, and under which settings.
 *
 * There are two identities besides the caller's own.  "Catalog" is the owner
 * of schema migrate_ext: it runs only the fixed statements of src/catalog on
 * the extension's own tables.  "Owner" is the role a mapping runs as: it runs
 * everything that contains a user's expression or touches a user's table, so
 * that such code never has more rights than the owner of those tables.
 *
 * Both pin the search_path, and every setting that changes what a value looks
 * like or what a cast gives: the dual write in an application's session and
 * the backfill in a worker must derive the same target row from the same
 * source row.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/identity.h"

/* The settings an expression's result may depend on, and their fixed values. */
static const struct
{
	const char *name;
	const char *value;
}			pinned[] =
{
	{"search_path", "pg_catalog, pg_temp"},
	{"DateStyle", "ISO, YMD"},
	{"IntervalStyle", "postgres"},
	{"extra_float_digits", "1"},
	{"bytea_output", "hex"},
	{"xmlbinary", "base64"},
	{"array_nulls", "on"},
	{"row_security", "off"},
};

/* Sets a parameter until the end of the current nest level, if it differs. */
static void
pin_setting(const char *name, const char *value)
{
	const char *now = GetConfigOption(name, true, false);

	if (now != NULL && strcmp(now, value) == 0)
		return;
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Stays the caller and pins the settings, but for row_security: what policies keep
 * from the caller is not read, or, if the session asks for that, an error.
 */
void
identity_stay(Identity *saved)
{
	GetUserIdAndSecContext(&saved->userid, &saved->sec_context);
	saved->guc_level = NewGUCNestLevel();
	for (int i = 0; i < lengthof(pinned); i++)
	{
		if (strcmp(pinned[i].name, "row_security") != 0)
			pin_setting(pinned[i].name, pinned[i].value);
	}
}

/* Takes on a role and pins the settings. */
static void
become(Identity *saved, Oid role, const char *time_zone)
{
	GetUserIdAndSecContext(&saved->userid, &saved->sec_context);
	saved->guc_level = NewGUCNestLevel();
	for (int i = 0; i < lengthof(pinned); i++)
		pin_setting(pinned[i].name, pinned[i].value);
	if (time_zone != NULL)
		pin_setting("TimeZone", time_zone);
	SetUserIdAndSecContext(role, saved->sec_context |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_NOFORCE_RLS);
}

/* Is the extension (still) there?  A worker may outlive it for a moment. */
bool
identity_catalog_exists(void)
{
	return OidIsValid(get_namespace_oid(MIGRATE_SCHEMA, true));
}

/*
 * Becomes the owner of the extension's tables, for statements of src/catalog
 * only.  On error the (sub)transaction's abort goes back by itself.
 */
void
identity_become_catalog(Identity *saved)
{
	Oid			nspid = get_namespace_oid(MIGRATE_SCHEMA, false);
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(nspid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for namespace %u", nspid);
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	become(saved, owner, NULL);
}

/* Becomes the role a mapping runs as; time_zone is the migration's. */
void
identity_become_owner(Identity *saved, Oid owner, const char *time_zone)
{
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(owner)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role %u, which the mapping runs as, does not exist", owner),
				 errhint("Unmap the relations and map them again.")));
	become(saved, owner, time_zone);
}

/*
 * Becomes a role and leaves the settings as they are: where only code runs
 * that does not look at them.
 */
void
identity_become_role(Identity *saved, Oid role)
{
	GetUserIdAndSecContext(&saved->userid, &saved->sec_context);
	saved->guc_level = 0;
	SetUserIdAndSecContext(role, saved->sec_context |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_NOFORCE_RLS);
}

/* Goes back to what the last identity_become_* left. */
void
identity_restore(const Identity *saved)
{
	if (saved->guc_level > 0)
		AtEOXact_GUC(true, saved->guc_level);
	SetUserIdAndSecContext(saved->userid, saved->sec_context);
}

/* Raises unless the caller may act for a migration's owner. */
void
identity_require_member(Oid owner, const char *migration)
{
	if (!has_privs_of_role(GetUserId(), owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of migration \"%s\"", migration),
				 errhint("The migration belongs to role \"%s\".",
						 GetUserNameFromId(owner, true))));
}

/* Raises unless the caller owns the relation. */
void
identity_require_relation_owner(Oid relid)
{
	if (!owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER,
					   get_relkind_objtype(get_rel_relkind(relid)),
					   get_rel_name(relid));
}
