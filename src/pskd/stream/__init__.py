"""A student on a stream of samples: recognition while it happens."""
