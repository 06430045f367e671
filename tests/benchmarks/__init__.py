"""How much time we add to Docker's own, what idling costs, and how both grow: ``make bench``."""
