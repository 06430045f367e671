"""The command as a user meets it: a process, its words, its exit status."""
