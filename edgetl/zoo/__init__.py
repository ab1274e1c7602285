"""Teachers and students by name, their weights and where those come from."""
