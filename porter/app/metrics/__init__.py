"""What `/metrics` says, and the page that documents it."""
