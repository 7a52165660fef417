"""The Helm chart: what it renders, what it refuses, and whether what it grants is what the code needs."""
