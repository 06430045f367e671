"""What the documentation names and changes under way bring; goes as soon as all of it is there."""

COMMANDS = {"doctor"}
OPTIONS = {"--http"}
