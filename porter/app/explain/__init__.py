"""`porter explain`: why something is, or is not, announced, with the causes down to the object that began it."""
