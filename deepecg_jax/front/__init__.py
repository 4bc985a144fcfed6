"""What does one call in a notebook? Thin functions that take paths, tables or objects alike."""
