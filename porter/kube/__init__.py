"""The only door to the Kubernetes API, and a folder of manifests as a second source."""
