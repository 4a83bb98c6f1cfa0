"""How code is compiled, run in threads and written to disk; nothing here knows of users, items or models."""
