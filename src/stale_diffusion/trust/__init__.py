"""Trust: what a movie may show, and what it remembers."""
