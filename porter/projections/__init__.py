"""Pure folds of the journal."""
