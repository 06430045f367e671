"""PostgreSQL: asked over the network, heard by ``NOTIFY``."""
