"""How long history is kept: the archive on a controller's volume, and what is trimmed from the journal behind it."""
