"""BGP engines behind the publisher."""
