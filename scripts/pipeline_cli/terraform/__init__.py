"""Build and deploy: the Lambda package, Terraform and its state, and the target that a command acts on."""
