"""What the documents are made of."""
