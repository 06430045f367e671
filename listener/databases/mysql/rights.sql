-- What lets MySQL (8.0 or newer) and MariaDB (10.5 or newer) tell topology-reaper of deletions:
-- nothing in the database, but a binary log in ROW format and an account that may read it.
--
-- Put into the server's configuration; the log itself needs a restart:
--
--     [mysqld]
--     log_bin       = binlog
--     server_id     = 1
--     binlog_format = ROW

-- The account; put in a password of your own, and the names of your database and hosts below.
-- CREATE USER 'topology_reaper'@'%' IDENTIFIED BY '...';

-- To ask which topologies there are; with the next this is enough for polling.
GRANT SELECT ON decnet.topologies TO 'topology_reaper'@'%';

-- To see whether the server is a replica, which may lack a row that is there; where the account
-- cannot, only rows that were seen before count as deleted. In MySQL it can by REPLICATION CLIENT
-- alone, below; a comment to MySQL, this is for MariaDB, where one that never was a replica does
-- not need it.
/*M!100509 GRANT SLAVE MONITOR ON *.* TO 'topology_reaper'@'%' */;

-- To read the binary log, which holds all that is written on this server, of every database on it.
-- Leave out REPLICATION SLAVE for polling.
GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'topology_reaper'@'%';
