"""A student as portable C99: traced, planned, quantised, written."""
