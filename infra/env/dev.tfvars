# A shared account for trying things: deletable, short retention.
environment         = "dev"
deletion_protection = false
log_retention_days  = 14

feedback_retention_days    = 30
old_version_retention_days = 15

# A new account has ten calls at once and can't reserve any of them.
transform = { concurrency = 0 }

# Batches come when somebody tries something.
due_check_schedule           = null
completed_batch_within_hours = null
