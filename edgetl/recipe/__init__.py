"""What a user asks for: the recipe's fields with their documentation, read, checked, narrowed and written."""
