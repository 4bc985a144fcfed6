"""What is measured, and where is it shown? One table of metrics."""
