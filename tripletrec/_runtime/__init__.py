"""What the rest is compiled and run with; nothing here knows of users and items."""
