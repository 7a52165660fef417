"""OpenTelemetry, Prometheus and logs."""
