"""Statistics on prediction tables, and the report."""
