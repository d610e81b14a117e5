"""The local AWS: the emulator, and the adaptation of the configuration to an older provider."""
