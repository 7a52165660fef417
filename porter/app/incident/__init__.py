"""Debugging from a history alone: answers without a controller, bisect, exports, bundles, and replay into a router."""
