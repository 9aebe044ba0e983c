-- The extension installs, and at the version that the control file names.
CREATE EXTENSION migrate_ext;
SELECT extversion FROM pg_extension WHERE extname = 'migrate_ext';
