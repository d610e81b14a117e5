"""Operations on a deployment, which the commands call: reading its state and changing it."""
