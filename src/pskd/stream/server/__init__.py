"""`pskd serve`: live recognition for many watches, phones and browsers at once."""
