"""SQLite: a file that is asked in place, and watched for commits."""
