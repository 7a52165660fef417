"""Rolling upgrades: who reads the journal, and which newer events may be written already."""
