"""Reading the journal: into the folds, as of a moment, through to the archive, and the causes between its events."""
