"""Days whose outputs are recorded: `python -m lambda.tests.recorded` compares them, and records them anew."""
