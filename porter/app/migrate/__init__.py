"""Moving to Porter: what others' manifests become, field by field, and which addresses follow from that.

`reading` and `cluster` bring documents in; `metallb` and `openelb` convert them, purely, into a `Migration`: manifests
and a report of what was kept, changed or refused; `simulate` runs the result through adoption and the allocator.
Nothing here writes to a cluster.
"""
