"""What type checkers promise our users, see `test_typing.py`."""
