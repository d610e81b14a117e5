# The whole of AWS on this machine (MiniStack): everything deletable.
environment         = "local"
deletion_protection = false
log_retention_days  = 7

# A partner without an AWS account, so that its way in is there to be tried.
partner = { user = true }

# Any day may be tried here, and the emulator reserves no calls.
days_back = 36500
transform = { concurrency = 0 }

# Nobody waits for files on this machine: a check at noon would report a day that never was.
due_check_schedule = null

# Nor does anybody need an alarm when no batch comes.
completed_batch_within_hours = null
