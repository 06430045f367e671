"""What this runs on, tried: the table in docs/compatibility.md, written by `make matrix`."""
