"""ARP and NDP answers where there is no BGP."""
