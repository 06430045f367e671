"""What outlives a process, in the folder that ``--state-dir`` names."""
