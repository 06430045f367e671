"""The listener as people deploy it: its image, and each piece of contrib/, on a real engine."""
