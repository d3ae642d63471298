"""Every adapter against the contract of its port."""
