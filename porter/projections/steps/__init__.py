"""What each event does to the cluster's state: one function per type, for only what cannot be derived later."""
