"""Is it as good for everybody? Gaps between groups."""
