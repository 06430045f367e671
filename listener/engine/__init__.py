"""The Docker Engine: requests, and the event stream that keeps the inventory in step with it."""
