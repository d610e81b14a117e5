"""The configuration against the current AWS provider, without its registry."""
