-- What makes PostgreSQL (14 or newer) tell topology-reaper of deleted topologies.
--
-- Run it as the owner of the table, with the table's schema first on the search path; running it
-- again changes nothing. `topology-reaper feed install` does just that, and postgresql-uninstall.sql
-- takes it back. Listeners need no right on any of this.
--
-- One notification tells of all rows that a statement deleted, at its commit: up to 200 ids, or '*'
-- for more (a notification holds less than 8,000 bytes). A statement that deletes nothing tells
-- nothing, for every notification wakes all listeners of the database. Of each row whose status
-- becomes torn_down another one tells, on a channel of its own, where the table has that column when
-- this is run.
--
-- PostgreSQL refuses PREPARE TRANSACTION to a transaction that has notified. So a writer that deletes
-- topologies or sets them torn_down in two-phase commits, for which max_prepared_transactions is not
-- 0, can do so no more once these triggers are there: leave them out, and let listeners poll.

BEGIN;

SET LOCAL lock_timeout = '5s';

CREATE OR REPLACE FUNCTION topology_reaper_notify() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
    channel constant text := concat_ws('_', 'topology_reaper', TG_RELID, TG_ARGV[0]);
    ids text := '*';
BEGIN
    IF TG_OP = 'UPDATE' THEN
        ids := OLD.id::text;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT CASE WHEN count(*) <= 200 THEN string_agg(id, ' ') ELSE '*' END INTO ids
        FROM (SELECT id::text FROM gone LIMIT 201) AS bounded;
    END IF;
    IF ids IS NOT NULL THEN
        PERFORM pg_notify(channel, CASE WHEN octet_length(ids) < 8000 THEN ids ELSE '*' END);
    END IF;
    RETURN NULL;
END
$function$;

CREATE OR REPLACE TRIGGER topology_reaper_delete
    AFTER DELETE ON topologies
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION topology_reaper_notify();

CREATE OR REPLACE TRIGGER topology_reaper_truncate
    AFTER TRUNCATE ON topologies
    FOR EACH STATEMENT EXECUTE FUNCTION topology_reaper_notify();

CREATE OR REPLACE TRIGGER topology_reaper_update
    AFTER UPDATE OF id ON topologies
    FOR EACH ROW WHEN (OLD.id IS DISTINCT FROM NEW.id)
    EXECUTE FUNCTION topology_reaper_notify();

DO $torn_down$
BEGIN
    IF EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = 'topologies'::regclass AND attname = 'status' AND NOT attisdropped
    ) THEN
        CREATE OR REPLACE TRIGGER topology_reaper_torn_down
            AFTER UPDATE OF status ON topologies
            FOR EACH ROW
            -- As text, for not all types can be compared.
            WHEN (NEW.status::text = 'torn_down'
                AND OLD.status::text IS DISTINCT FROM NEW.status::text)
            EXECUTE FUNCTION topology_reaper_notify('torn_down');
    END IF;
END
$torn_down$;

COMMIT;
