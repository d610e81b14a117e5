"""What several commands read from a deployment or do to it."""
