"""What does a BERT say of a report? Its model, folder, tokenizer and scores."""
