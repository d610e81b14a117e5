"""The only code that calls AWS: one module per service, with thin methods for paging, batching and retries."""
