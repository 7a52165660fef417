"""`porter up`: every part of one node as children of one process."""
