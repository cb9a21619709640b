"""The player: a local page that plays a five-sense movie, and starts another."""
