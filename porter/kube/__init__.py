"""The Kubernetes edge: the only door to the API server, and the folder of manifests that can stand for it."""
