"""Users, passwords, tokens and what each may do."""
