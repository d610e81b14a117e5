"""Building the package and deploying it: package, Terraform, its state, and the target that a command acts on."""
