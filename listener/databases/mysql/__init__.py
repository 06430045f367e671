"""MySQL and MariaDB: asked over the network, heard by the binary log."""
