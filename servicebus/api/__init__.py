"""What users write: contexts, middleware and services."""
