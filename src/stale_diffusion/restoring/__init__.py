"""Damage found and undone: pictures, sound, and the bits of any sense."""
