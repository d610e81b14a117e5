"""The only code that talks to AWS: one module a service, thin verbs with paging, batching and retries."""
