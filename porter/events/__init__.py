"""The vocabulary of the journal: what was observed, what was decided, what reached the routers."""
