"""What a student reports on long recordings: facts in JSON, and a page made of them alone."""
