"""What the documentation names and changes under way bring; goes as soon as all of it is there."""

COMMANDS = {"status", "doctor", "history"}
OPTIONS = {"--http", "--watch"}
METRICS = "docs/metrics.md"
