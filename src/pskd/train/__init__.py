"""One run: the chain trained stage by stage into a run folder."""
