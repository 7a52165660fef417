"""Made by scripts/protocol from gobgp.proto."""
