"""The services that others ask of this server (SCP)."""
