"""What do the words say? Lexicons, context and statements: text to the 77 findings."""
