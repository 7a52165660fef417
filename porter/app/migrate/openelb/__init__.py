"""OpenELB, and Porter of every generation: what stays, what is converted, and the defects that were there."""
