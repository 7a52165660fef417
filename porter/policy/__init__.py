"""Pure rules over facts: selectors, eligible next hops, export to a peer."""
