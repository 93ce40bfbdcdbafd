"""Recordings, the store that keeps them, the protocols that split them, the clips made of them."""
