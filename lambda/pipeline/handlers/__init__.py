"""The five Lambda functions, one module each."""
