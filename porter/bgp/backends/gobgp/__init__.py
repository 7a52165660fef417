"""GoBGP's daemon behind the publisher, driven over gRPC; one daemon for each session (docs/adr/0010)."""
