"""The AWS on this machine: the emulator, and the configuration made to fit an older provider."""
