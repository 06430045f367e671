"""What the documentation says, held against what there is."""
