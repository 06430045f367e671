"""Against private real database servers: PostgreSQL and MariaDB."""
