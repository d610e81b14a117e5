"""What several verbs ask of a deployment: its batches, their errors and verdicts, its runs and its queues."""
