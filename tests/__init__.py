"""Tests of Porter, from pure values to a whole bare-metal cluster."""
