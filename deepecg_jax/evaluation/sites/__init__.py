"""Is it as good everywhere? The same metric at every site."""
