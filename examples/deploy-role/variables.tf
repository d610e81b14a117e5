variable "repository" {
  description = "The GitHub repository that deploys, as OWNER/NAME."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.repository))
    error_message = "repository must be OWNER/NAME without wildcards: it decides who may take the roles."
  }
}

variable "environments" {
  description = "GitHub environments that may apply, each with required reviewers. The names are those of the files infra/env/<name>.tfvars."
  type        = set(string)
  default     = ["prod"]

  validation {
    condition     = length(var.environments) > 0 && alltrue([for name in var.environments : can(regex("^[a-z][a-z0-9-]{1,15}$", name))])
    error_message = "environments must be names of 2 to 16 lower-case letters, digits and hyphens, as the variable environment takes."
  }
}

variable "name" {
  description = "Name of the product, as in the variable name of infra/: the names of all resources that a deployment may change begin with it."
  type        = string
  default     = "csv-pipeline"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,29}$", var.name))
    error_message = "name must be 3 to 30 lower-case letters, digits and hyphens, as the variable name of infra/ takes."
  }
}

variable "region" {
  description = "AWS region of the deployment, such as eu-west-1."
  type        = string
  default     = "eu-west-1"
}

variable "provider_exists" {
  description = "Whether the account has GitHub's identity provider already: an account can have only one for each URL."
  type        = bool
  default     = false
}
