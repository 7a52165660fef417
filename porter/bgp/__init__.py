"""The publisher: the desired Adj-RIB-Out of every peer, brought into a BGP engine and confirmed."""
