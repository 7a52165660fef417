"""The console: pages in a browser over a cluster's journal, or over an exported file; they only read."""
