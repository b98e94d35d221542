"""What a person sees: documents as rich renderables and plain text."""
