"""Value objects of the domain; the standard library is all they need."""
