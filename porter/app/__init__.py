"""The only wiring: settings, controller, speaker, up, demo."""
