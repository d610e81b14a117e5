"""The stages of the pipeline, one module each. A stage can be called without Lambda."""
