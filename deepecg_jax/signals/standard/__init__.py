"""What do models see? Recordings to windows of the signal contract."""
