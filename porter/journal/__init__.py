"""The only door to Redis; the journal as a stream, a file, or in memory."""
