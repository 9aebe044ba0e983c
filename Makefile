# migrate_ext: build, install and test (PGXS)
#
#   make && make install      build against the server that pg_config names
#   make installcheck         pg_regress and isolation tests on a running server
#   make test                 everything, on a server of its own; installs what is missing first
#   make demo | bench | soak  see test/
#   make DEV=1                warnings are errors, no bitcode
#
# The file also parses where no server is installed: the test targets install one.

.PHONY: all test demo bench soak lint dist FORCE
all:

EXTENSION  = migrate_ext
MODULE_big = migrate_ext
EXTVERSION := $(shell sed -n "s/^default_version *= *'\([^']*\)'.*/\1/p" migrate_ext.control)

OBJS = \
	src/migrate_ext.o \
	src/base/deferred.o \
	src/base/identity.o \
	src/base/own_ddl.o \
	src/base/plain_table.o \
	src/base/quote.o \
	src/base/setting.o \
	src/base/spi.o \
	src/base/subxact.o \
	src/catalog/custom_check.o \
	src/catalog/dirty_key.o \
	src/catalog/divergence.o \
	src/catalog/event.o \
	src/catalog/gate_result.o \
	src/catalog/job.o \
	src/catalog/job_duplicate.o \
	src/catalog/job_range.o \
	src/catalog/key_map.o \
	src/catalog/mapping.o \
	src/catalog/mapping_column.o \
	src/catalog/mapping_rule.o \
	src/catalog/migration.o \
	src/catalog/old_side.o \
	src/catalog/rejected_row.o \
	src/catalog/sample.o \
	src/catalog/shadow_read.o \
	src/catalog/stashed_object.o \
	src/catalog/stored_expression.o \
	src/catalog/swap_step.o \
	src/catalog/verification.o \
	src/catalog/write_error.o \
	src/projection/aggregate.o \
	src/projection/columns.o \
	src/projection/constraint.o \
	src/projection/comparison.o \
	src/projection/duplicate.o \
	src/projection/expression.o \
	src/projection/foreign_key.o \
	src/projection/key.o \
	src/projection/lookup.o \
	src/projection/multiset.o \
	src/projection/program.o \
	src/projection/projection.o \
	src/projection/reference.o \
	src/projection/shape.o \
	src/hash/checksum.o \
	src/hash/encode.o \
	src/hash/sketch.o \
	src/hash/value.o \
	src/capture/account.o \
	src/capture/apply.o \
	src/capture/apply_frame.o \
	src/capture/direct.o \
	src/capture/dual_write.o \
	src/capture/in_place.o \
	src/capture/key_batch.o \
	src/capture/key_default.o \
	src/capture/lookup_change.o \
	src/capture/new_key.o \
	src/capture/plan_cache.o \
	src/capture/source_write.o \
	src/capture/transition.o \
	src/capture/trigger.o \
	src/capture/trigger_function.o \
	src/copy/backfill.o \
	src/copy/circle.o \
	src/copy/direct_copy.o \
	src/copy/duplicate.o \
	src/copy/quarantine.o \
	src/copy/range_plan.o \
	src/copy/requeue.o \
	src/copy/settle.o \
	src/copy/sync.o \
	src/copy/sync_pass.o \
	src/copy/throttle.o \
	src/verify/compare.o \
	src/verify/compare_aggregates.o \
	src/verify/compare_tables.o \
	src/verify/distinct.o \
	src/verify/frequent.o \
	src/verify/hash_spool.o \
	src/verify/profile.o \
	src/verify/profile_column.o \
	src/verify/profile_date.o \
	src/verify/profile_json.o \
	src/verify/profile_number.o \
	src/verify/profile_order.o \
	src/verify/profile_reference.o \
	src/verify/profile_text.o \
	src/verify/range.o \
	src/verify/repair.o \
	src/verify/sample.o \
	src/verify/shadow_read.o \
	src/verify/table_checksum.o \
	src/verify/table_pair.o \
	src/verify/verify.o \
	src/lifecycle/assess.o \
	src/lifecycle/assess_condition.o \
	src/lifecycle/assess_data.o \
	src/lifecycle/assess_dependents.o \
	src/lifecycle/assess_environment.o \
	src/lifecycle/assess_probe.o \
	src/lifecycle/assess_query.o \
	src/lifecycle/check.o \
	src/lifecycle/contract.o \
	src/lifecycle/cleanup.o \
	src/lifecycle/cutover.o \
	src/lifecycle/ddl.o \
	src/lifecycle/define.o \
	src/lifecycle/freeze.o \
	src/lifecycle/gate.o \
	src/lifecycle/in_place.o \
	src/lifecycle/lock.o \
	src/lifecycle/map.o \
	src/lifecycle/phase.o \
	src/lifecycle/rehearse.o \
	src/lifecycle/restate.o \
	src/lifecycle/retire.o \
	src/lifecycle/retry.o \
	src/lifecycle/rollback.o \
	src/lifecycle/route.o \
	src/lifecycle/rule.o \
	src/lifecycle/start.o \
	src/lifecycle/stash.o \
	src/lifecycle/swap.o \
	src/lifecycle/way_back.o \
	src/worker/launch.o \
	src/worker/main.o \
	src/worker/pace.o \
	src/worker/rebuild.o \
	src/worker/request.o \
	src/worker/supervisor.o \
	src/worker/sync_job.o \
	src/worker/verify_job.o \
	src/worker/wait.o \
	src/worker/watch.o \
	src/report/html.o \
	src/report/plot.o \
	src/report/report.o \
	src/report/runbook.o \
	src/report/section.o \
	src/report/see.o

# The install script is these parts, in this order.
SQL_PARTS = \
	sql/schema.sql \
	sql/hash.sql \
	sql/define.sql \
	sql/profile.sql \
	sql/run.sql \
	sql/prove.sql \
	sql/swap.sql \
	sql/old_side.sql \
	sql/shadow.sql \
	sql/go.sql \
	sql/see.sql \
	sql/ddl.sql
SQL_SCRIPT = sql/migrate_ext--$(EXTVERSION).sql

DATA_built = $(SQL_SCRIPT)
DATA       = $(wildcard sql/migrate_ext--*--*.sql)

# Tests, by name: test/sql/NAME.sql, test/isolation/specs/NAME.spec, test/pgtap/NAME.sql,
# test/t/NAME.pl.  test/lint compares the lists with the files.
REGRESS   = extension checksum bad_input dual_write backfill sketch compare aggregates property verify quarantine dedupe lookups merge_split sets multisets key_map defer_indexes key_ranges throttle lifecycle assess swap finish shadow rehearse profile parallel_run in_place contract ddl write_error exchange deferred plan_change relations wide foreign_target capture_ways \
	capture_nested capture_shapes
ISOLATION = backfill_delete backfill_update dual_write_isolation sync_insert sync_same_row sync_same_row_back sync_dirty_again foreign_target \
	start_in_flight cutover_in_flight deadlock key_swap nested_write in_place serializable \
	old_snapshot sync_writes set_members multiset dedupe_copy merged_rows lookup_change key_map key_copy deferred_added cascade partition_change truncate both_sides unique_wait batch_snapshot swap_in_flight route cleanup_lock
PGTAP     = contract
TAP       = 001_load 002_crash 003_workers 004_owner 005_standby 006_hostile 007_stress 008_interrupt 009_sync_worker 011_replication 012_dump 013_prepared 014_throttle 015_supervisor 016_disk_full 017_cron 018_verify_load 019_start_lock 020_verify_ranges 021_two_clusters 022_swap 023_report 024_swap_load 025_swap_crash 027_real_input 028_duplicates

REGRESS_OPTS   = --inputdir=test
ISOLATION_OPTS = --inputdir=test/isolation

PG_CPPFLAGS = -I$(srcdir)/src -DMIGRATE_EXT_VERSION='"$(EXTVERSION)"'
PG_CFLAGS   = -fvisibility=hidden
EXTRA_CLEAN = .build-flags $(SQL_SCRIPT).tmp results output_iso regression.diffs regression.out

ifdef DEV
PG_CFLAGS += -Wall -Wextra -Werror -Wno-unused-parameter \
	-Wno-sign-compare -Wno-missing-field-initializers -Wno-cast-function-type -Wno-clobbered
endif

PG_CONFIG ?= pg_config
export PG_CONFIG
PGXS := $(if $(wildcard $(shell $(PG_CONFIG) --includedir-server 2>/dev/null)/postgres.h),$(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null)))

ifneq ($(PGXS),)

# Bitcode needs the clang the server was built with; do without rather than fail.
PGXS_CLANG := $(shell sed -n 's/^CLANG *= *//p' $(dir $(PGXS))../Makefile.global)
ifeq ($(if $(DEV),,$(shell command -v $(PGXS_CLANG) 2>/dev/null)),)
override with_llvm = no
endif

include $(PGXS)

# Before 16 the server's headers do not mark what a module exports.
ifeq ($(MAJORVERSION),15)
override CPPFLAGS += -D'PGDLLEXPORT=__attribute__((visibility("default")))'
endif

# Objects of another server version or other flags are stale.
$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*.h src/*/*.h) .build-flags

.build-flags: FORCE
	@echo '$(subst ','\'',$(VERSION_NUM) $(CC) $(CPPFLAGS) $(CFLAGS))' >$@.new; \
	if cmp -s $@.new $@; then rm -f $@.new; else mv $@.new $@; fi

else

all install uninstall installcheck clean:
	@echo 'no usable pg_config: install the server development package, set PG_CONFIG, or run "make test"' >&2
	@exit 1

endif

$(SQL_SCRIPT): $(SQL_PARTS) migrate_ext.control Makefile
	@set -e; { \
		printf '%s\n' '\echo Use "CREATE EXTENSION migrate_ext" to load this file. \quit'; \
		for part in $(SQL_PARTS); do printf '\n-- part: %s\n' "$${part##*/}"; cat "$$part"; done; \
	} >$@.tmp
	@mv $@.tmp $@

test:
	@test/run

demo:
	@test/demo/run

bench:
	@test/bench/run

soak:
	@test/soak

ifneq ($(PGXS),)
lint: all
endif
lint:
	@test/lint

DIST_VERSION = $(shell sed -n 's/^\t"version": "\([^"]*\)".*/\1/p' META.json)
dist:
	git archive --format=zip --prefix=migrate_ext-$(DIST_VERSION)/ \
		-o migrate_ext-$(DIST_VERSION).zip HEAD

# For the test scripts: make -s print-REGRESS
print-%:
	@echo $($*)
