"""The speaker: replays the journal into a BGP engine, and tells in its own stream what came of it."""
