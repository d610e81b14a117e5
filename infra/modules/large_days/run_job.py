"""The script of the AWS Glue job: the code is in the package, which Glue installs on every worker."""

import sys

from pipeline.large.job import main

main(sys.argv[1:])
