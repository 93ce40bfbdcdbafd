"""The method: which teacher a student listens to, and what it takes from it."""
