"""What connects servicebus to other frameworks."""
