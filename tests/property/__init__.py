"""The property that nothing alive is ever removed, and that nothing orphaned stays."""
