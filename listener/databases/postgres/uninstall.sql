-- Takes back what postgresql-install.sql does; listeners then poll.

BEGIN;

SET LOCAL lock_timeout = '5s';

DROP TRIGGER IF EXISTS topology_reaper_delete ON topologies;
DROP TRIGGER IF EXISTS topology_reaper_truncate ON topologies;
DROP TRIGGER IF EXISTS topology_reaper_update ON topologies;
DROP TRIGGER IF EXISTS topology_reaper_torn_down ON topologies;
DROP FUNCTION IF EXISTS topology_reaper_notify();

COMMIT;
