"""Several processes that train together: starting, agreeing, failing, stopping."""
