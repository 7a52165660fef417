"""Answers about the cluster as pure functions of the folds: the HTTP API, the commands and the console share them."""
