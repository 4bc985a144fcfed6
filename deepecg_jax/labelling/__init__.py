"""What does the text of a report say? Rules, a BERT classifier, and its training."""
