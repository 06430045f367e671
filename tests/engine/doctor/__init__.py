"""The command ``doctor``, on set-ups that are healthy and on broken ones."""
