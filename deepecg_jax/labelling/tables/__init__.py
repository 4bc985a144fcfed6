"""Tables of reports: reading, labelling, and comparing with a reference."""
