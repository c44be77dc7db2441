"""The contract every network must meet, run on anyone's class."""
