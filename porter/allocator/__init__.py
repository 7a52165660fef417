"""decide: which address a Service gets, keeps or gives back, and why."""
