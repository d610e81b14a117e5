"""Small faults planted into a copy of the tree, and the tests that must find them: `make test-planted`."""
