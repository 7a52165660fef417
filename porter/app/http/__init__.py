"""A controller's HTTP side: health, metrics, answers, the archive's segments, and operators' actions."""
