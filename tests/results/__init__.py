"""Results that stay."""
