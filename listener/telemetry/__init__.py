"""What others can see of the work."""
