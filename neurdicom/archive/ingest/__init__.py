"""The one way in for every door: durable files, entered into the catalog."""
