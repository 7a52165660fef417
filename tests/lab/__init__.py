"""The lab: a bare-metal cluster in network namespaces, with real parts.

``lab.Lab`` puts it together and may be used from a script; ``conftest`` offers it to pytest; ``up`` leaves one
standing.
"""
