# Production: nothing is deleted by accident, logs and refused records stay for a year.
environment         = "prod"
deletion_protection = true
log_retention_days  = 365

feedback_retention_days    = 365
old_version_retention_days = 365
