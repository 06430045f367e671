"""What a listener shows of itself: log lines, metrics, the status and where it can be read."""
