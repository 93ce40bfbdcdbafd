"""A small world of moving bodies: where the simulated dataset comes from."""
