"""What a user asks for: the recipe's fields with their documentation, read from YAML, checked, and written again."""
