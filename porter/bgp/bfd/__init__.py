"""Bidirectional forwarding detection (RFC 5880) for the sessions of one speaker, run by BIRD beside it."""
