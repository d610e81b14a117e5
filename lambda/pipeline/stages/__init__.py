"""What each stage of the way through does, in the field's words. A stage can be called without Lambda."""
