"""How does a text become words? Folding, cutting, spelling, patterns."""
