"""The services that this server asks of remote nodes (SCU)."""
