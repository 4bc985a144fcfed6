"""Which file is it, and what does it hold? Files of any format to recordings."""
