"""The controller: follows the journal while it stands by, and leads when it is elected; the leader's only wiring."""
