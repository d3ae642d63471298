"""What a PACS does with what it holds."""
