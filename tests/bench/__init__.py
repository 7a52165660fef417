"""Benches: they print figures and assert none."""
