variable "repository" {
  description = "The GitHub repository that deploys, as OWNER/NAME."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.repository))
    error_message = "repository must be OWNER/NAME without wildcards: it decides who may take the roles."
  }
}

variable "repository_ids" {
  description = "Ids of the repository's owner and of the repository (gh api repos/OWNER/NAME --jq '.owner.id, .id'), which GitHub puts into the tokens of repositories that were created, renamed or moved since July 2026. Null: only tokens without ids are trusted."
  type = object({
    owner      = number
    repository = number
  })
  default = null

  validation {
    condition     = var.repository_ids == null ? true : alltrue([for id in values(var.repository_ids) : id > 0 && floor(id) == id])
    error_message = "repository_ids must be two whole numbers, as GitHub gives them."
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

  validation {
    condition     = alltrue([for pair in setproduct(var.environments, var.environments) : !startswith(pair[1], "${pair[0]}-")])
    error_message = "environments must not have one whose name continues another's with a hyphen (prod and prod-2): the role of the first may change all that begins with its name and a hyphen."
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
